"""How every hot tier is compared with its record: partitions, counts by window, and rows that came late."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from consumer.domain.errors import CheckFailedError, SourceChangedError
from consumer.domain.fingerprint import EMPTY
from consumer.domain.held_rows import HeldRows
from consumer.domain.reconcile import PartitionSpan
from consumer.domain.stream import Mode, TableName
from consumer.domain.window import BEGINNING, PartitionBy, Window
from consumer.testing.rows import Row
from tests.support.hot_tables import ALWAYS, DAY, NOON, HotTable, rows_at

WINDOWS = [
    Window(lower=lower, upper=upper)
    for lower, upper in ((BEGINNING, NOON), (NOON, NOON + DAY), (NOON + DAY, NOON + 2 * DAY))
]


def test_contents_are_those_of_the_inventory(hot: HotTable) -> None:
    assert hot.source.survey(hot.stream).contents == {}
    hot.insert(rows_at(NOON, 1, 2) + rows_at(NOON + DAY, 3))
    partitions = hot.inventory.inventory(hot.stream).partitions
    assert hot.source.survey(hot.stream).contents == {partition.id: partition.content for partition in partitions}


def test_a_missing_table_has_no_contents_and_no_description(hot: HotTable) -> None:
    found = hot.source.survey(replace(hot.stream, source=TableName.parse("nowhere.nothing")))
    assert (found.contents, found.table) == ({}, None)


def test_spans_go_from_first_to_last_and_count_what_is_not_below_the_watermark(hot: HotTable) -> None:
    hot.insert(rows_at(NOON - DAY / 4, 1) + rows_at(NOON, 2, 3) + rows_at(NOON + DAY, 4))
    spans = hot.source.spans(hot.stream, ["20240305", "20240306", "20240399"], NOON)
    assert spans == {
        "20240305": PartitionSpan(first=NOON - DAY / 4, last=NOON, pending=2),
        "20240306": PartitionSpan(first=NOON + DAY, last=NOON + DAY, pending=1),
    }
    assert hot.source.spans(hot.stream, [], NOON) == {}


def test_a_tally_counts_each_window_with_its_digest_if_it_is_to_be_exact(hot: HotTable) -> None:
    mapping = hot.mapping()
    hot.insert(rows_at(NOON - DAY, 1) + rows_at(NOON, 2, 2) + rows_at(NOON + 2 * DAY, 3))
    exact = hot.source.tally(hot.stream, mapping, WINDOWS, exact=True)
    assert list(exact) == [hot.source.fingerprint(hot.stream, mapping, window) for window in WINDOWS]
    counted = hot.source.tally(hot.stream, mapping, WINDOWS, exact=False)
    assert [(found.rows, found.digest) for found in counted] == [(1, 0), (2, 0), (0, 0)]


def test_late_rows_are_found_with_how_often_they_are_missing(hot: HotTable) -> None:
    mapping = hot.mapping()
    hot.insert(rows_at(NOON - DAY, 1) + rows_at(NOON, 2))
    paths = [hot.write_file(mapping, ALWAYS)]
    nothing = hot.source.late_rows(hot.stream, mapping, ALWAYS, paths)
    assert (nothing.late, nothing.missing, nothing.surplus) == ((), 0, 0)
    hot.insert(rows_at(NOON, 2, 2, 3))
    found = hot.source.late_rows(hot.stream, mapping, ALWAYS, paths)
    assert sorted(row.rows for row in found.late) == [1, 2]
    assert {row.instant for row in found.late} == {NOON}
    assert (found.missing, found.refused, found.surplus) == (3, 0, 0)
    assert found.hot == hot.source.fingerprint(hot.stream, mapping, ALWAYS)


def test_rows_that_are_gone_are_surplus_and_files_of_other_windows_are_left_out(hot: HotTable) -> None:
    mapping = hot.mapping()
    hot.insert(rows_at(NOON - DAY, 1) + rows_at(NOON, 2, 3))
    paths = [hot.write_file(mapping, ALWAYS)]
    hot.delete(3)
    found = hot.source.late_rows(hot.stream, mapping, WINDOWS[1], paths)
    assert (found.late, found.missing, found.surplus) == ((), 0, 1)


def test_rows_that_are_too_late_are_counted_and_refused(hot: HotTable) -> None:
    mapping = hot.mapping()
    hot.insert(rows_at(NOON - DAY, 1, 2) + rows_at(NOON, 3))
    found = hot.source.late_rows(hot.stream, mapping, ALWAYS, [], not_before=NOON)
    assert [(row.rows, row.instant) for row in found.late] == [(1, NOON)]
    assert (found.missing, found.refused) == (3, 2)


def test_a_partition_alone_can_be_compared(hot: HotTable) -> None:
    mapping = hot.mapping()
    hot.insert(rows_at(NOON, 1, 2) + rows_at(NOON + DAY, 3))
    paths = [hot.write_file(mapping, WINDOWS[1])]
    assert hot.source.fingerprint(hot.stream, mapping, ALWAYS, partition="20240305").rows == 2
    assert hot.source.difference(hot.stream, mapping, [ALWAYS], paths, partition="20240305") == (0, 0)
    assert hot.source.difference(hot.stream, mapping, [ALWAYS], paths, partition="20240306") == (1, 2)


def test_rows_of_files_are_told_apart_by_a_window(hot: HotTable) -> None:
    mapping = hot.mapping()
    hot.insert(rows_at(NOON - DAY, 1) + rows_at(NOON, 2, 2) + rows_at(NOON + DAY, 3))
    whole, inside = hot.write_file(mapping, ALWAYS), hot.write_file(mapping, WINDOWS[1])
    first, second = hot.source.file_shares(hot.stream, mapping, WINDOWS[1], [whole, inside])
    window = hot.source.fingerprint(hot.stream, mapping, WINDOWS[1])
    assert (first.path, first.inside, first.first) == (whole, window, NOON)
    assert (second.path, second.inside, second.first) == (inside, window, NOON)
    assert first.inside + first.outside == hot.source.fingerprint(hot.stream, mapping, ALWAYS)
    assert (first.outside.rows, first.elsewhere) == (2, NOON - DAY)
    assert (second.outside.rows, second.elsewhere) == (0, None)
    assert list(hot.source.file_shares(hot.stream, mapping, WINDOWS[1], [])) == []


def test_files_are_counted_by_bounds_and_days_each_by_itself(hot: HotTable) -> None:
    mapping = hot.mapping()
    hot.insert(rows_at(NOON - DAY / 4, 1, 1) + rows_at(NOON, 2) + rows_at(NOON + DAY / 4, 3) + rows_at(NOON + DAY, 4))
    hot.insert(rows_at(datetime(1960, 1, 1, 12, tzinfo=UTC), 5))
    whole, inside = hot.write_file(mapping, ALWAYS), hot.write_file(mapping, WINDOWS[1])
    found = hot.counted.count_files(hot.stream, mapping, [BEGINNING, NOON], [whole, inside])
    midnight = PartitionBy.DAY.floor(NOON)
    told = {(one.path, one.lower): (one.fingerprint.rows, one.first, one.last) for one in found}
    assert len(told) == len(found)
    assert told == {
        (whole, datetime(1960, 1, 1, tzinfo=UTC)): (1, *[datetime(1960, 1, 1, 12, tzinfo=UTC)] * 2),
        (whole, midnight): (2, NOON - DAY / 4, NOON - DAY / 4),
        (whole, NOON): (2, NOON, NOON + DAY / 4),
        (whole, midnight + DAY): (1, NOON + DAY, NOON + DAY),
        (inside, NOON): (2, NOON, NOON + DAY / 4),
    }
    held = HeldRows(found, [BEGINNING, NOON])
    assert held.files(WINDOWS[0])[whole] == hot.source.fingerprint(hot.stream, mapping, ALWAYS)
    once = HeldRows([one for one in found if one.path == whole], [BEGINNING, NOON])
    windows = [WINDOWS[0], Window(lower=NOON, upper=midnight + DAY)]
    assert once.tally(windows) == list(hot.verified.tally_files(hot.stream, mapping, windows, [whole]))
    assert list(hot.counted.count_files(hot.stream, mapping, [NOON], [])) == []


def test_every_row_of_the_files_counts_to_a_window_and_strays_to_the_last_one(hot: HotTable) -> None:
    mapping = hot.mapping()
    hot.insert(rows_at(NOON - DAY, 1) + rows_at(NOON, 2, 2) + rows_at(NOON + 3 * DAY, 3))
    paths = [hot.write_file(mapping, ALWAYS)]
    found = hot.verified.tally_every(hot.stream, mapping, WINDOWS, paths)
    inside = list(hot.verified.tally_files(hot.stream, mapping, WINDOWS, paths))
    assert [one.rows for one in inside] == [1, 2, 0]
    assert [one.rows for one in found] == [1, 2, 1]
    assert sum(found, EMPTY) == hot.source.fingerprint(hot.stream, mapping, ALWAYS)
    # Before the first window, too.
    later = hot.verified.tally_every(hot.stream, mapping, WINDOWS[1:], paths)
    assert [one.rows for one in later] == [2, 2]
    assert sum(later, EMPTY) == sum(found, EMPTY)


def test_rows_that_differ_are_told_with_their_values_and_how_often_each_tier_holds_them(hot: HotTable) -> None:
    mapping = hot.mapping()
    hot.insert(rows_at(NOON - DAY, 1) + rows_at(NOON, 2, 2, 3, 4))
    paths = [hot.write_file(mapping, ALWAYS)]
    same = hot.verified.differing(hot.stream, mapping, ALWAYS, paths, belongs=True, most=10)
    assert (same.missing, same.surplus, list(same.rows)) == (0, 0, [])
    hot.delete(3)
    hot.insert(rows_at(NOON, 2, 5) + rows_at(NOON - DAY / 4, 6))
    found = hot.verified.differing(hot.stream, mapping, ALWAYS, paths, belongs=True, most=10)
    assert (found.missing, found.surplus) == (3, 1)
    assert [row.instant for row in found.rows] == sorted(row.instant for row in found.rows)
    assert {(row.values["seq"], row.hot, row.cold) for row in found.rows} == {
        ("6", 1, 0),
        ("2", 3, 2),
        ("3", 0, 1),
        ("5", 1, 0),
    }
    assert found.rows[0].values == {"ts": f"{NOON - DAY / 4:%Y-%m-%d %H:%M:%S}.000000", "seq": "6", "value": "6"}
    some = hot.verified.differing(hot.stream, mapping, ALWAYS, paths, belongs=True, most=1)
    assert (some.missing, some.surplus, list(some.rows)) == (3, 1, [found.rows[0]])
    none = hot.verified.differing(hot.stream, mapping, ALWAYS, paths, belongs=True, most=0)
    assert (none.missing, none.surplus, list(none.rows)) == (3, 1, [])
    inside = hot.verified.differing(hot.stream, mapping, WINDOWS[1], paths, belongs=True, most=10)
    assert (inside.missing, inside.surplus) == (2, 1)
    nobodys = hot.verified.differing(hot.stream, mapping, WINDOWS[1], paths, belongs=False, most=10)
    assert (nobodys.missing, nobodys.surplus, sum(row.cold for row in nobodys.rows)) == (0, 4, 4)


def test_neither_another_table_nor_a_missing_file_is_compared(hot: HotTable) -> None:
    mapping = hot.mapping()
    hot.insert(rows_at(NOON, 1))
    with pytest.raises(CheckFailedError):
        hot.source.late_rows(hot.stream, mapping, ALWAYS, [hot.write_file(mapping, ALWAYS) + "-gone"])
    with pytest.raises(CheckFailedError):
        hot.source.file_shares(hot.stream, mapping, ALWAYS, [hot.write_file(mapping, ALWAYS) + "-gone"])
    one_of_two = [hot.write_file(mapping, ALWAYS), hot.write_file(mapping, ALWAYS) + "-gone"]
    with pytest.raises(CheckFailedError):
        hot.counted.count_files(hot.stream, mapping, [NOON], one_of_two)
    with pytest.raises(CheckFailedError):
        hot.counted.extent_files(hot.stream, mapping, one_of_two)
    with pytest.raises(CheckFailedError):
        hot.verified.tally_files(hot.stream, mapping, [ALWAYS], one_of_two)
    hot.exchange()
    with pytest.raises(SourceChangedError):
        hot.source.tally(hot.stream, mapping, WINDOWS, exact=False)
    with pytest.raises(SourceChangedError):
        hot.source.late_rows(hot.stream, mapping, ALWAYS, [])


def test_rows_that_were_changed_are_told_from_those_that_have_gone_by_the_sorting_key(hot: HotTable) -> None:
    mapping = hot.mapping()
    hot.insert(rows_at(NOON, 1, 2, 3, 4))
    paths = [hot.write_file(mapping, ALWAYS)]
    hot.update(2, 77)
    hot.delete(3)
    hot.insert(rows_at(NOON, 5))
    found = hot.source.late_rows(hot.stream, mapping, ALWAYS, paths)
    assert (found.missing, found.surplus, found.lost) == (2, 2, 1)


def test_latest_versions_are_read_whatever_was_merged_and_all_rows_in_other_modes(hot: HotTable) -> None:
    hot.keep_versions()
    mapping, latest = hot.mapping(), replace(hot.stream, mode=Mode.LATEST_VERSION)
    hot.insert(rows_at(NOON, 1, 2) + rows_at(NOON + DAY, 3))
    former = [hot.write_file(mapping, ALWAYS)]
    hot.insert([Row(ts=NOON, seq=1, value=9), Row(ts=NOON + DAY, seq=3, value=9)])
    assert hot.source.extent(hot.stream, ALWAYS).rows == 5
    before = hot.source.fingerprint(latest, mapping, ALWAYS)
    assert (before.rows, hot.source.extent(latest, ALWAYS).rows) == (3, 3)
    found = hot.source.late_rows(latest, mapping, ALWAYS, former)
    assert (found.missing, found.surplus, found.lost) == (2, 2, 0)
    spans = hot.source.spans(latest, ["20240305", "20240306"], NOON + DAY)
    assert [spans[day].pending for day in sorted(spans)] == [0, 1]
    hot.merge()
    assert hot.source.fingerprint(latest, mapping, ALWAYS) == before
    assert list(hot.source.tally(latest, mapping, [ALWAYS], exact=True)) == [before]
    assert hot.source.extent(hot.stream, ALWAYS).rows == 3
