"""What a plan reads of a large table on the real engine: metadata, and rows of the next batch; never all of it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

import pytest
from clickhouse_connect.driver.httpclient import HttpClient
from clickhouse_connect.driver.query import QueryResult

from consumer.domain.stream import BatchBounds, Stream, TableName
from consumer.domain.window import BEGINNING
from consumer.embedded.stack import EmbeddedStack
from consumer.ports import StreamRecord
from consumer.service.plan import Identity, Planner
from consumer.testing.ledger import MemoryLedger
from tests.support.hot_tier import HotTier, hot_tier

DAYS = 121
ROWS_PER_DAY = 2_000
ROWS = DAYS * ROWS_PER_DAY
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
END = FIRST + timedelta(days=DAYS)
IDENTITY = Identity(source_uuid=UUID(int=1), target_uuid=UUID(int=2), generation=1)
GRANULE = 128
LAYOUTS = {
    "days": "PARTITION BY toYYYYMMDD(ts) ORDER BY (symbol, ts)",
    "months": "PARTITION BY toYYYYMM(ts) ORDER BY (ts, symbol)",
    "exchanges_and_days": "PARTITION BY (symbol % 3, toDate(ts)) ORDER BY (symbol, ts)",
    "unpartitioned": "ORDER BY (ts, symbol)",
}

COLUMNS = "(ts DateTime64(6, 'UTC'), symbol UInt8)"
ROWS_OF_EACH_DAY = (
    "SELECT toDateTime64('2024-01-01 00:00:00', 6, 'UTC')"
    f" + toIntervalMillisecond(number * {86_400_000 // ROWS_PER_DAY}), number % 50 FROM numbers({ROWS})"
)
GRANULES = f"SETTINGS index_granularity = {GRANULE}"
ANY_NUMBER_OF_PARTITIONS = {"max_partitions_per_insert_block": 0}


@pytest.fixture(scope="module")
def hot(stack: EmbeddedStack) -> Iterator[HotTier]:
    with hot_tier(stack, f"t_{uuid.uuid4().hex[:12]}") as tier:
        for name, layout in LAYOUTS.items():
            tier.run(f"CREATE TABLE {tier.database}.{name} {COLUMNS} ENGINE = MergeTree {layout} {GRANULES}")
            tier.client.command(
                f"INSERT INTO {tier.database}.{name} {ROWS_OF_EACH_DAY}", settings=ANY_NUMBER_OF_PARTITIONS
            )
        yield tier


@pytest.fixture
def read_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each statement has read by the server's own account, those of metadata included."""
    counts: list[int] = []
    original: Callable[..., QueryResult] = HttpClient.query

    def counting(client: HttpClient, *args: object, **keywords: object) -> QueryResult:
        result = original(client, *args, **keywords)
        counts.append(int(result.summary.get("read_rows", 0)))
        return result

    monkeypatch.setattr(HttpClient, "query", counting)
    return counts


def stream_of(hot: HotTier, name: str, rows: int = 5_000_000) -> Stream:
    table = TableName(database=hot.database, table=name)
    return Stream(name="s", source=table, target=table, timestamp_column="ts", bounds=BatchBounds(rows=rows))


def record(hot: HotTier, watermark: datetime = BEGINNING) -> StreamRecord:
    return StreamRecord.unseen("s", hot.source.now(), watermark)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_first_batch_of_a_long_backlog_reads_metadata_and_no_more_rows_than_a_few_batches(
    hot: HotTier, read_rows: list[int], layout: str
) -> None:
    stream = stream_of(hot, layout, rows=3 * ROWS_PER_DAY)
    hot.source.describe(stream.source)
    start = record(hot)
    read_rows.clear()
    first, second = islice(Planner(hot.source, MemoryLedger()).batches(stream, start, IDENTITY, END), 2)
    assert first.window.upper == second.window.lower
    assert first.rows == second.rows == 3 * ROWS_PER_DAY
    assert sum(read_rows) <= ROWS // 10, read_rows


@pytest.mark.parametrize("layout", ["days", "exchanges_and_days"])
def test_a_backlog_of_whole_partitions_is_planned_from_metadata_alone(
    hot: HotTier, read_rows: list[int], layout: str
) -> None:
    stream = stream_of(hot, layout, rows=40 * ROWS_PER_DAY)
    hot.source.describe(stream.source)
    start = record(hot)
    read_rows.clear()
    batches = list(Planner(hot.source, MemoryLedger()).batches(stream, start, IDENTITY, END))
    assert sum(batch.rows for batch in batches) == ROWS
    assert sum(len(batch.units) for batch in batches) == DAYS
    parts = hot.client.query(
        f"SELECT count() FROM system.parts WHERE active AND database = '{hot.database}' AND table = '{layout}'"
    ).result_rows[0][0]
    assert sum(read_rows[:-1]) <= 4 * len(read_rows) * parts, read_rows


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_ordinary_tick_reads_no_more_than_the_day_that_it_is_in(
    hot: HotTier, read_rows: list[int], layout: str
) -> None:
    stream = stream_of(hot, layout)
    hot.source.describe(stream.source)
    at = FIRST + timedelta(days=60, hours=7)
    start = record(hot, at)
    read_rows.clear()
    (batch,) = Planner(hot.source, MemoryLedger()).batches(stream, start, IDENTITY, at + timedelta(minutes=15))
    assert batch.rows == ROWS_PER_DAY // 96 + (ROWS_PER_DAY % 96 > 0)
    assert sum(read_rows) <= ROWS_PER_DAY + 60 * GRANULE, read_rows


def test_after_lightweight_deletes_metadata_is_not_used_and_still_the_table_is_not_read_whole(
    hot: HotTier, read_rows: list[int]
) -> None:
    hot.run(f"CREATE TABLE {hot.database}.deleted AS {hot.database}.days")
    hot.client.command(
        f"INSERT INTO {hot.database}.deleted SELECT * FROM {hot.database}.days WHERE ts < '2024-01-31'",
        settings=ANY_NUMBER_OF_PARTITIONS,
    )
    stream = stream_of(hot, "deleted", rows=3 * ROWS_PER_DAY)
    hot.client.command(
        f"DELETE FROM {stream.source} IN PARTITION '20240101' WHERE ts < toDateTime64('2024-01-01 12:00:00', 6, 'UTC')",
        settings={"lightweight_deletes_sync": 2},
    )
    hot.source.describe(stream.source)
    start = record(hot)
    read_rows.clear()
    first = next(iter(Planner(hot.source, MemoryLedger()).batches(stream, start, IDENTITY, END)), None)
    assert first is not None
    assert sum(unit.rows for unit in first.units) == 2 * ROWS_PER_DAY + ROWS_PER_DAY // 2
    assert max(read_rows) <= 5 * ROWS_PER_DAY, read_rows
