"""What every hot tier keeps to, ClickHouse and the one in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from consumer.domain.errors import (
    CheckFailedError,
    IcehaulError,
    SchemaMovedError,
    SourceChangedError,
    SourceMissingError,
    SourceUnavailableError,
    TimeColumnError,
)
from consumer.domain.fingerprint import EMPTY
from consumer.domain.mapping import TableMapping
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING, Window
from consumer.ports import Extent, SequenceReport, Source, Step
from consumer.testing.rows import COLUMNS, Row
from tests.support.hot_tables import ALWAYS, DAY, NOON, HotTable, rows_at

EARLY = Window(lower=BEGINNING, upper=NOON)
FROM_NOON = Window(lower=NOON, upper=NOON + DAY)
MICROSECOND = timedelta(microseconds=1)
Read = Callable[[Source, Stream, TableMapping], object]
READS: dict[str, Read] = {
    "extent": lambda source, stream, _: source.extent(stream, ALWAYS),
    "partition_bounds": lambda source, stream, _: source.partition_bounds(stream, ALWAYS, 10),
    "first": lambda source, stream, _: source.first(stream, ALWAYS),
    "histogram": lambda source, stream, _: source.histogram(stream, ALWAYS, Step.DAY),
    "sequence_bounds": lambda source, stream, _: source.sequence_bounds(stream, ALWAYS, 1),
    "sequence_report": lambda source, stream, _: source.sequence_report(stream, ALWAYS),
    "fingerprint": lambda source, stream, mapping: source.fingerprint(stream, mapping, ALWAYS),
    "difference": lambda source, stream, mapping: source.difference(stream, mapping, [ALWAYS], []),
}
QUESTIONS: dict[str, Read] = {
    **READS,
    "now": lambda source, *_: source.now(),
    "describe": lambda source, stream, _: source.describe(stream.source),
    "fingerprint_files": lambda source, _, mapping: source.fingerprint_files(mapping, ["s3://bucket/file.parquet"]),
}


# ---------------------------------------------------------------------------------------------- describe


def test_a_table_is_described_with_its_columns_in_order(hot: HotTable) -> None:
    described = hot.source.describe(hot.name)
    assert described.name == hot.name
    assert described.columns == COLUMNS
    assert (described.engine, described.partition_key, described.sorting_key) == ("MergeTree", "toDate(ts)", "ts, seq")
    assert hot.source.describe(hot.name) == described


def test_a_table_made_anew_or_exchanged_has_another_uuid(hot: HotTable) -> None:
    seen = [hot.source.describe(hot.name).uuid]
    for change in (hot.make_anew, hot.exchange):
        change()
        seen.append(hot.source.describe(hot.name).uuid)
    assert len(set(seen)) == 3


def test_a_changed_type_is_seen_by_the_next_description(hot: HotTable) -> None:
    hot.source.describe(hot.name)
    hot.retype("value", "Int128")
    assert [column.type for column in hot.source.describe(hot.name).columns][2] == "Int128"


def test_a_missing_table_is_named(hot: HotTable) -> None:
    hot.source.describe(hot.name)
    hot.drop()
    with pytest.raises(SourceMissingError, match=f"source {hot.name} does not exist"):
        hot.source.describe(hot.name)


def test_the_clock_is_in_utc_and_does_not_go_back(hot: HotTable) -> None:
    times = [hot.source.now() for _ in range(3)]
    assert times == sorted(times)
    assert {time.tzinfo for time in times} == {UTC}


# ---------------------------------------------------------------------------------------------- counting


def test_an_empty_window_has_no_extent(hot: HotTable) -> None:
    hot.insert(rows_at(NOON, 1))
    assert hot.source.extent(hot.stream, EARLY) == Extent(rows=0, bytes=0, first=None, last=None)
    assert list(hot.source.histogram(hot.stream, EARLY, Step.DAY)) == []


def test_an_extent_goes_from_the_first_row_to_the_last_and_leaves_the_upper_bound_out(hot: HotTable) -> None:
    hot.insert(rows_at(NOON - MICROSECOND, 1) + rows_at(NOON, 2, 3) + rows_at(NOON + DAY, 4))
    extent = hot.source.extent(hot.stream, FROM_NOON)
    assert (extent.rows, extent.first, extent.last) == (2, NOON, NOON)
    assert extent.bytes > 0
    everything = hot.source.extent(hot.stream, ALWAYS)
    assert (everything.rows, everything.first, everything.last) == (4, NOON - MICROSECOND, NOON + DAY)
    assert everything.bytes == 2 * extent.bytes


@pytest.mark.parametrize("step", Step)
def test_a_histogram_counts_by_steps_in_utc_and_leaves_empty_ones_out(hot: HotTable, step: Step) -> None:
    last = datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)
    hot.insert(rows_at(last, 1) + rows_at(last + MICROSECOND, 2, 3) + rows_at(datetime(2026, 1, 1, tzinfo=UTC), 4))
    buckets = hot.source.histogram(hot.stream, ALWAYS, step)
    assert [bucket.rows for bucket in buckets] == ([3, 1] if step is Step.YEAR else [1, 2, 1])
    assert [bucket.start for bucket in buckets] == sorted({bucket.start for bucket in buckets})
    assert buckets[0].start <= last
    assert buckets[-1].start == datetime(2026, 1, 1, tzinfo=UTC)
    assert sum(bucket.bytes for bucket in buckets) == hot.source.extent(hot.stream, ALWAYS).bytes


def test_an_instant_before_every_window_is_refused_not_passed_by(hot: HotTable) -> None:
    hot.insert(rows_at(NOON, 1))
    hot.insert_out_of_range()
    for read in (READS["extent"], READS["partition_bounds"], READS["first"]):
        with pytest.raises(TimeColumnError, match=f"{hot.name}.ts holds an instant outside the years"):
            read(hot.source, hot.stream, hot.mapping())


def test_partition_bounds_are_those_of_all_rows_of_the_partitions_that_reach_into_a_window(hot: HotTable) -> None:
    hot.insert(rows_at(NOON - DAY, 1) + rows_at(NOON, 2) + rows_at(NOON + 7 * MICROSECOND, 3) + rows_at(NOON + DAY, 4))
    found = hot.source.partition_bounds(hot.stream, FROM_NOON, 10)
    assert found is not None
    ((first, last, rows),) = [(one.first, one.last, one.rows) for one in found]
    assert (first, last, rows) == (NOON, NOON + 7 * MICROSECOND, 2)
    everything = hot.source.partition_bounds(hot.stream, ALWAYS, 10)
    assert everything is not None
    assert [one.first for one in everything] == [NOON - DAY, NOON, NOON + DAY]
    assert sum(one.bytes for one in everything) == hot.source.extent(hot.stream, ALWAYS).bytes
    assert hot.source.partition_bounds(hot.stream, ALWAYS, 2) == everything[:2]


def test_an_empty_table_has_no_partition_bounds_and_no_first_row(hot: HotTable) -> None:
    assert not hot.source.partition_bounds(hot.stream, ALWAYS, 10)
    assert hot.source.first(hot.stream, ALWAYS) is None


def test_the_first_row_of_a_window_is_found(hot: HotTable) -> None:
    hot.insert(rows_at(NOON - MICROSECOND, 1) + rows_at(NOON + 3 * MICROSECOND, 2, 3) + rows_at(NOON + DAY, 4))
    assert hot.source.first(hot.stream, ALWAYS) == NOON - MICROSECOND
    assert hot.source.first(hot.stream, FROM_NOON) == NOON + 3 * MICROSECOND
    assert hot.source.first(hot.stream, Window(lower=NOON + 4 * MICROSECOND, upper=NOON + DAY)) is None


# ---------------------------------------------------------------------------------------------- cutting


def test_the_rows_of_an_instant_are_cut_by_their_sequence(hot: HotTable) -> None:
    hot.insert(rows_at(NOON, *range(10)))
    cuts = hot.source.sequence_bounds(hot.stream, FROM_NOON, 4)
    assert list(cuts) == [("4",), ("8",)]


@pytest.mark.parametrize(
    ("numbers", "cuts"),
    [([7] * 6, []), ([1, 1, 1, 2, 2, 2], [("2",)]), ([1, 2, 2, 2, 2, 2], [("2",)]), ([1, 2], []), ([], [])],
)
def test_equal_sequences_are_never_cut(hot: HotTable, numbers: list[int], cuts: list[tuple[str]]) -> None:
    if numbers:
        hot.insert([Row(ts=NOON, seq=number, value=place) for place, number in enumerate(numbers)])
    assert list(hot.source.sequence_bounds(hot.stream, FROM_NOON, 2)) == cuts


def test_without_sequence_columns_there_is_nothing_to_cut_by_and_no_gap_to_find(hot: HotTable) -> None:
    hot.insert(rows_at(NOON, 1, 5, 5))
    stream = replace(hot.stream, sequence_columns=())
    assert list(hot.source.sequence_bounds(stream, ALWAYS, 1)) == []
    assert hot.source.sequence_report(stream, ALWAYS) == SequenceReport(repeated=0, gaps=None)


def test_repeated_numbers_and_gaps_are_reported(hot: HotTable) -> None:
    assert hot.source.sequence_report(hot.stream, ALWAYS) == SequenceReport(repeated=0, gaps=0)
    hot.insert(rows_at(NOON, 1, 2, 2, 5) + rows_at(NOON + DAY, 5))
    assert hot.source.sequence_report(hot.stream, ALWAYS) == SequenceReport(repeated=2, gaps=2)


# ---------------------------------------------------------------------------------------------- fingerprints


def test_adjacent_windows_share_no_row_and_miss_none(hot: HotTable) -> None:
    mapping = hot.mapping()
    hot.insert([Row(ts=NOON + number * timedelta(hours=7), seq=number) for number in range(12)])
    bounds = [BEGINNING, NOON, NOON + MICROSECOND, NOON + DAY, NOON + 2 * DAY, ALWAYS.upper]
    parts = [
        hot.source.fingerprint(hot.stream, mapping, Window(lower=lower, upper=upper))
        for lower, upper in pairwise(bounds)
    ]
    assert sum(parts, EMPTY) == hot.source.fingerprint(hot.stream, mapping, ALWAYS)
    assert [part.rows for part in parts] == [0, 1, 3, 3, 5]


def test_the_digest_of_rows_equals_the_one_of_the_files_that_hold_them(hot: HotTable) -> None:
    mapping = hot.mapping()
    hot.insert(rows_at(NOON - DAY, 1, 2, 2) + rows_at(NOON, 3))
    paths = [hot.write_file(mapping, window) for window in (EARLY, FROM_NOON)]
    hot_side = hot.source.fingerprint(hot.stream, mapping, ALWAYS)
    assert hot_side.rows == 4
    assert hot.source.fingerprint_files(mapping, paths) == hot_side
    assert hot.source.fingerprint_files(mapping, paths[:1]) == hot.source.fingerprint(hot.stream, mapping, EARLY)
    assert hot.source.fingerprint_files(mapping, []) == EMPTY


def test_every_column_and_every_repetition_counts_for_the_digest(hot: HotTable) -> None:
    mapping = hot.mapping()
    seen = [hot.source.fingerprint(hot.stream, mapping, ALWAYS)]
    for row in (Row(ts=NOON, seq=1), Row(ts=NOON, seq=1), Row(ts=NOON, seq=1, value=1), Row(ts=NOON, seq=2)):
        hot.insert([row])
        seen.append(hot.source.fingerprint(hot.stream, mapping, ALWAYS))
    added = [later.digest - earlier.digest for earlier, later in pairwise(seen)]
    assert seen[0] == EMPTY
    assert [found.rows for found in seen] == [0, 1, 2, 3, 4]
    assert (added[0] - added[1]) % (1 << 64) == 0
    assert len({number % (1 << 64) for number in added}) == 3


def test_a_difference_counts_with_multiplicity_on_either_side(hot: HotTable) -> None:
    mapping = hot.mapping()
    hot.insert(rows_at(NOON, 1, 1, 2, 3))
    paths = [hot.write_file(mapping, ALWAYS)]
    assert hot.source.difference(hot.stream, mapping, [ALWAYS], paths) == (0, 0)
    hot.delete(3)
    hot.insert(rows_at(NOON, 1, 4))
    assert hot.source.difference(hot.stream, mapping, [ALWAYS], paths) == (2, 1)
    assert hot.source.difference(hot.stream, mapping, [ALWAYS], []) == (5, 0)
    assert hot.source.difference(hot.stream, mapping, [EARLY], paths) == (0, 4)


def test_a_file_that_is_not_on_the_store_fails_the_check(hot: HotTable) -> None:
    mapping = hot.mapping()
    hot.insert(rows_at(NOON, 1))
    gone = hot.write_file(mapping, ALWAYS).replace(".parquet", "-gone.parquet")
    with pytest.raises(CheckFailedError):
        hot.source.fingerprint_files(mapping, [gone])
    with pytest.raises(CheckFailedError):
        hot.source.difference(hot.stream, mapping, [ALWAYS], [gone])


# ---------------------------------------------------------------------------------------------- a source that changes


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda hot: hot.drop(), SourceMissingError),
        (lambda hot: hot.make_anew(), SourceChangedError),
        (lambda hot: hot.exchange(), SourceChangedError),
        (lambda hot: hot.retype("value", "Int128"), SchemaMovedError),
    ],
    ids=["dropped", "made anew", "exchanged", "of another type"],
)
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_table_that_is_not_the_described_one_is_not_read(
    hot: HotTable, read: Read, change: Callable[[HotTable], None], error: type[IcehaulError]
) -> None:
    stream = replace(hot.stream, sequence_columns=("value",))
    hot.insert(rows_at(NOON, 1))
    mapping = hot.mapping()
    change(hot)
    with pytest.raises(error):
        read(hot.source, stream, mapping)


def test_a_column_that_is_only_part_of_the_row_stops_only_what_reads_whole_rows(hot: HotTable) -> None:
    hot.insert(rows_at(NOON, 1))
    mapping = hot.mapping()
    hot.retype("value", "Int128")
    assert hot.source.extent(hot.stream, ALWAYS).rows == 1
    with pytest.raises(SchemaMovedError):
        hot.source.fingerprint(hot.stream, mapping, ALWAYS)


def test_what_was_described_again_is_read_again(hot: HotTable) -> None:
    hot.source.describe(hot.name)
    hot.make_anew()
    hot.insert(rows_at(NOON, 1))
    mapping = hot.mapping()
    assert hot.source.extent(hot.stream, ALWAYS).rows == 1
    assert hot.source.fingerprint(hot.stream, mapping, ALWAYS).rows == 1


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_a_server_that_does_not_answer_is_a_passing_error(hot: HotTable, question: Read) -> None:
    mapping = hot.mapping()
    source, _ = hot.unreachable()
    with pytest.raises(SourceUnavailableError) as raised:
        question(source, hot.stream, mapping)
    assert raised.value.remedy
