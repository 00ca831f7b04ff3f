"""The planner cuts any stretch of time into contiguous, bounded batches that hold every row exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from unittest.mock import patch
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.domain.file_options import FILE_BYTES
from consumer.domain.partition_bounds import PartitionBounds
from consumer.domain.stream import BatchBounds, Stream, TableName
from consumer.domain.type_mapping import map_table
from consumer.domain.window import BEGINNING, PartitionBy, Window
from consumer.ports import Bucket, Extent, Step, StreamRecord, StreamState, TargetTable
from consumer.service.plan import Identity, Planner, fitted
from consumer.testing.engine import MemoryEngine
from consumer.testing.ledger import MemoryLedger
from consumer.testing.rows import COLUMNS, Row
from consumer.testing.source import MemorySource

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
TABLE = TableName(database="market", table="trades")
IDENTITY = Identity(source_uuid=UUID(int=1), target_uuid=UUID(int=2), generation=1)
MAPPING = map_table(COLUMNS, timestamp_column="ts", sequence_columns=("seq",))


def stream(**changes: object) -> Stream:
    fields: dict[str, object] = {
        "name": "trades",
        "source": TABLE,
        "target": TableName(database="bronze", table="trades"),
        "timestamp_column": "ts",
        "sequence_columns": ("seq",),
    }
    return Stream(**{**fields, **changes})  # type: ignore[arg-type]


def record(watermark: datetime = BEGINNING) -> StreamRecord:
    return StreamRecord(
        stream="trades",
        watermark=watermark,
        last_upper=None,
        generation=1,
        source_uuid=None,
        target_uuid=None,
        epoch=1,
        owner="me",
        lease_expires=None,
        state=StreamState.ACTIVE,
        halt_reason=None,
        halt_remedy=None,
        updated=NOW,
    )


class CutSource(MemorySource):
    """A source of other partitions than days; remembers which windows it was asked to count.

    ``cut`` names a row's partition, and is ``None`` for a table whose metadata tells nothing of times. Bounds are too
    wide by ``slack``, as if rows had been deleted since the parts were written.
    """

    def __init__(self, cut: Callable[[Row], object] | None = None, slack: timedelta = timedelta(0)) -> None:
        super().__init__(NOW)
        self.cut = cut
        self.slack = slack
        self.counted: list[Window] = []

    def partition_bounds(self, stream: Stream, window: Window, most: int) -> Sequence[PartitionBounds] | None:
        if self.cut is None:
            return None
        members: dict[object, list[datetime]] = {}
        for row in self.tables[stream.source]:
            members.setdefault(self.cut(row), []).append(row.ts)
        found = [
            PartitionBounds(
                first=min(times) - self.slack, last=max(times) + self.slack, rows=len(times) + 1, bytes=len(times)
            )
            for times in members.values()
        ]
        found = [one for one in found if one.last >= window.lower and one.first < window.upper]
        return sorted(found, key=lambda one: one.first)[:most]

    def histogram(self, stream: Stream, window: Window, step: Step) -> Sequence[Bucket]:
        self.counted.append(window)
        return super().histogram(stream, window, step)

    def extent(self, stream: Stream, window: Window) -> Extent:
        self.counted.append(window)
        return super().extent(stream, window)


CUTS: dict[str, Callable[[Row], object] | None] = {
    "unknown": None,
    "hour": lambda row: PartitionBy.HOUR.floor(row.ts),
    "day": lambda row: PartitionBy.DAY.floor(row.ts),
    "month": lambda row: PartitionBy.MONTH.floor(row.ts),
    "exchange": lambda row: row.value,
    "exchange and day": lambda row: (row.value, PartitionBy.DAY.floor(row.ts)),
}


def planner_over(rows: list[Row], source: MemorySource | None = None) -> tuple[Planner, MemorySource]:
    source = source or MemorySource(NOW)
    source.create(TABLE, rows)
    return Planner(source, MemoryLedger()), source


instants = st.one_of(
    st.datetimes(min_value=datetime(2025, 12, 30), max_value=datetime(2026, 1, 10)).map(  # noqa: DTZ001
        lambda naive: naive.replace(tzinfo=UTC)
    ),
    # Few distinct instants, so that some of them are oversized.
    st.integers(0, 3).map(lambda n: datetime(2026, 1, 5, 23, 59, 59, 999_998, tzinfo=UTC) + timedelta(microseconds=n)),
)
rows_strategy = st.lists(st.builds(Row, ts=instants, seq=st.integers(0, 5), value=st.integers(0, 3)), max_size=60)


@settings(max_examples=150, deadline=None)
@given(
    rows=rows_strategy,
    cut=st.sampled_from(sorted(CUTS)),
    slack=st.sampled_from([timedelta(0), timedelta(microseconds=1), timedelta(hours=30)]),
    page=st.sampled_from([1, 2, 1_000]),
    partition_by=st.sampled_from(PartitionBy),
    bound=st.integers(1, 20),
    unit=st.integers(1, 10),
    window=st.sampled_from([timedelta(hours=1), timedelta(days=3), timedelta(days=400)]),
)
def test_batches_are_contiguous_bounded_and_hold_every_row_once(
    rows: list[Row],
    cut: str,
    slack: timedelta,
    page: int,
    partition_by: PartitionBy,
    bound: int,
    unit: int,
    window: timedelta,
) -> None:
    planner, source = planner_over(rows, CutSource(CUTS[cut], slack))
    subject = stream(partition_by=partition_by, bounds=BatchBounds(rows=bound, unit_rows=unit, window=window))
    with patch("consumer.service.slicing._PARTITIONS", page):
        batches = list(planner.batches(subject, record(), IDENTITY, NOW))

    assert batches[0].window.lower == BEGINNING
    assert batches[-1].window.upper == NOW
    assert all(one.window.upper == other.window.lower for one, other in pairwise(batches))

    engine = MemoryEngine(source)
    target = TargetTable(
        name=subject.target,
        uuid=UUID(int=2),
        location="s3://x",
        schema=MAPPING.iceberg_schema(),
        snapshot_id=None,
        evidence=None,
    )
    for batch in batches:
        engine.write(
            stream=subject, mapping=MAPPING, target=target, batch=batch, prefix=str(batch.id), traceparent=None
        )
        held = [row for row in rows if batch.window.contains(row.ts)]
        if len({row.ts for row in held}) > 1:
            assert len(held) <= bound, "only a single instant may exceed the bound"
        for part in batch.units:
            assert batch.window.lower <= part.window.lower < part.window.upper <= batch.window.upper
            assert partition_by.floor(part.window.lower) == partition_by.floor(
                part.window.upper - timedelta(microseconds=1)
            ), "a unit never crosses a partition"
    written = sorted(row for file in source.files.values() for row in file)
    assert written == sorted(rows)
    for file in source.files.values():
        tied = len({row.ts for row in file}) == 1 and max(Counter((row.ts, row.seq) for row in file).values()) > 1
        assert len(file) <= unit or tied, "only rows that the sequence columns can't tell apart exceed a unit"


def test_units_of_one_partition_are_of_about_one_size_and_as_few_as_their_bound_allows() -> None:
    rows = [Row(ts=NOW - timedelta(days=1, hours=hour), seq=hour) for hour in range(7)]
    planner, _ = planner_over(rows)
    (batch,) = planner.batches(stream(bounds=BatchBounds(unit_rows=5)), record(), IDENTITY, NOW)
    assert [unit.rows for unit in batch.units] == [4, 3]


@pytest.mark.parametrize(
    ("properties", "rows", "unit_rows"),
    [
        ({FILE_BYTES: "40000"}, 1000, 400),
        ({FILE_BYTES: "40000"}, 0, 5000),
        ({FILE_BYTES: "900000"}, 1000, 5000),
        ({}, 1000, 5000),
    ],
    ids=["smaller files", "a table without files", "larger than a unit may be", "nothing asked for"],
)
def test_units_have_as_many_rows_as_make_a_file_of_the_size_that_the_target_asks_for(
    properties: dict[str, str], rows: int, unit_rows: int
) -> None:
    subject = stream(bounds=BatchBounds(unit_rows=5000))
    target = TargetTable(
        name=subject.target,
        uuid=UUID(int=2),
        location="s3://x",
        schema=MAPPING.iceberg_schema(),
        snapshot_id=None,
        evidence=None,
        properties=properties,
        rows=rows,
        bytes=100 * rows,
    )
    assert fitted(subject, target).bounds == BatchBounds(unit_rows=unit_rows)
    assert fitted(subject, None) == subject


def test_the_same_source_makes_the_same_batches_with_the_same_ids() -> None:
    rows = [Row(ts=NOW - timedelta(days=day, hours=1), seq=day) for day in range(1, 6)]
    planner, _ = planner_over(rows)
    subject = stream(bounds=BatchBounds(rows=2))
    first = list(planner.batches(subject, record(), IDENTITY, NOW))
    assert [batch.id for batch in first] == [batch.id for batch in planner.batches(subject, record(), IDENTITY, NOW)]
    assert len(first) == 3


def test_a_stretch_without_rows_is_one_empty_batch() -> None:
    planner, _ = planner_over([])
    (batch,) = planner.batches(stream(), record(), IDENTITY, NOW)
    assert batch.empty
    assert batch.window.upper == NOW


def test_a_watermark_at_the_cutoff_leaves_nothing_to_plan() -> None:
    planner, source = planner_over([Row(ts=NOW - timedelta(hours=1), seq=1)])
    assert list(planner.batches(stream(), record(NOW), IDENTITY, NOW)) == []
    assert source.queries == 0


def test_a_small_batch_in_one_partition_costs_one_query() -> None:
    planner, source = planner_over([Row(ts=NOW - timedelta(minutes=n), seq=n) for n in range(1, 10)])
    list(planner.batches(stream(), record(NOW - timedelta(minutes=30)), IDENTITY, NOW))
    assert source.queries == 1


@pytest.mark.parametrize("rows", [1, 7])
def test_an_oversized_instant_becomes_one_batch_of_several_units(rows: int) -> None:
    instant = NOW - timedelta(hours=5)
    planner, _ = planner_over([Row(ts=instant, seq=n) for n in range(rows)])
    batches = list(planner.batches(stream(bounds=BatchBounds(rows=3, unit_rows=3)), record(), IDENTITY, NOW))
    filled = [batch for batch in batches if not batch.empty]
    assert len(filled) == 1
    assert len(filled[0].units) == -(-rows // 3)


def year(rows_per_day: int) -> list[Row]:
    first = datetime(2025, 1, 1, tzinfo=UTC)
    step = timedelta(days=1) / rows_per_day
    return [Row(ts=first + n * step, seq=n) for n in range(365 * rows_per_day)]


def test_a_years_backlog_of_whole_partitions_is_planned_without_counting_a_row() -> None:
    planner, source = planner_over(year(4), CutSource(CUTS["day"]))
    batches = list(planner.batches(stream(bounds=BatchBounds(rows=60)), record(), IDENTITY, NOW))
    assert len(batches) == 365 // 12 + 1
    assert {len(batch.units) for batch in batches[:-1]} == {12}
    assert isinstance(source, CutSource)
    assert source.counted == []


@pytest.mark.parametrize("cut", ["unknown", "month", "exchange"])
def test_a_years_backlog_is_not_counted_before_its_first_batch(cut: str) -> None:
    planner, source = planner_over(year(4), CutSource(CUTS[cut]))
    assert isinstance(source, CutSource)
    batches = planner.batches(stream(bounds=BatchBounds(rows=40)), record(), IDENTITY, NOW)
    first = next(batch for batch in batches if not batch.empty)
    assert max(window.upper for window in source.counted) <= first.window.upper + timedelta(days=45)
    spans = [window.upper - window.lower for window in source.counted if window.lower.year == 2025]
    assert sum(spans, timedelta(0)) <= timedelta(days=62)
    assert sum(1 for _ in batches) >= 30


def test_every_row_of_a_backlog_is_counted_once_while_it_drains() -> None:
    planner, source = planner_over(year(4), CutSource(None))
    assert isinstance(source, CutSource)
    assert len(list(planner.batches(stream(bounds=BatchBounds(rows=40)), record(), IDENTITY, NOW))) >= 36
    counted = sorted(source.counted, key=lambda window: window.lower)
    assert all(one.upper <= other.lower for one, other in pairwise(counted))
    assert len(counted) < 365


def test_a_gap_of_decades_costs_a_few_questions() -> None:
    rows = [Row(ts=datetime(1950, 1, 1, tzinfo=UTC), seq=1), Row(ts=NOW - timedelta(days=3), seq=2)]
    planner, source = planner_over(rows, CutSource(None))
    batches = list(planner.batches(stream(), record(), IDENTITY, NOW))
    assert [batch.rows for batch in batches] == [1, 1]
    assert source.queries <= 12
