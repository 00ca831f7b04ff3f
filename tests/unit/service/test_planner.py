"""The planner cuts any stretch of time into contiguous, bounded batches that hold every row exactly once."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.domain.file_options import FILE_BYTES
from consumer.domain.stream import BatchBounds, Stream, TableName
from consumer.domain.type_mapping import map_table
from consumer.domain.window import BEGINNING, PartitionBy
from consumer.ports import StreamRecord, StreamState, TargetTable
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


def planner_over(rows: list[Row]) -> tuple[Planner, MemorySource]:
    source = MemorySource(NOW)
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
    partition_by=st.sampled_from(PartitionBy),
    bound=st.integers(1, 20),
    unit=st.integers(1, 10),
    window=st.sampled_from([timedelta(hours=1), timedelta(days=3), timedelta(days=400)]),
)
def test_batches_are_contiguous_bounded_and_hold_every_row_once(
    rows: list[Row], partition_by: PartitionBy, bound: int, unit: int, window: timedelta
) -> None:
    planner, source = planner_over(rows)
    subject = stream(partition_by=partition_by, bounds=BatchBounds(rows=bound, unit_rows=unit, window=window))
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
