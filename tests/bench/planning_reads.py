"""What a plan makes ClickHouse read of a large table: ``python -m tests.bench.planning_reads``.

The baseline, in the same run, is what planning took before: count the whole backlog, then its histogram by days.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

from clickhouse_connect.driver.httpclient import HttpClient
from clickhouse_connect.driver.query import QueryResult

from consumer.domain.stream import BatchBounds, Stream, TableName
from consumer.domain.window import BEGINNING, Window
from consumer.embedded.component import ComponentName
from consumer.embedded.stack import EmbeddedStack
from consumer.ports import Step, StreamRecord
from consumer.service.plan import Identity, Planner
from consumer.testing.ledger import MemoryLedger
from tests.support.hot_tier import HotTier, hot_tier

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
LAYOUTS = {
    "by day": "PARTITION BY toYYYYMMDD(ts) ORDER BY (symbol, ts)",
    "by month": "PARTITION BY toYYYYMM(ts) ORDER BY (ts, symbol)",
    "not partitioned": "ORDER BY (ts, symbol)",
}
_IDENTITY = Identity(source_uuid=UUID(int=1), target_uuid=UUID(int=2), generation=1)


@dataclass(slots=True)
class Reading:
    """What statements have read by the server's own account."""

    statements: int = 0
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0


@contextmanager
def counted(reading: Reading) -> Iterator[None]:
    """Add up what the statements inside of the block read."""
    original: Callable[..., QueryResult] = HttpClient.query

    def counting(client: HttpClient, *args: object, **keywords: object) -> QueryResult:
        result = original(client, *args, **keywords)
        reading.statements += 1
        reading.rows += int(result.summary.get("read_rows", 0))
        reading.bytes += int(result.summary.get("read_bytes", 0))
        return result

    began = time.monotonic()
    with patch.object(HttpClient, "query", counting):
        yield
    reading.seconds = time.monotonic() - began


def measure(hot: HotTier, layout: str, days: int, rows: int) -> dict[str, Reading]:
    """Fill a table, and plan over it."""
    table = TableName(database=hot.database, table=layout.replace(" ", "_"))
    hot.run(f"CREATE TABLE {table} (ts DateTime64(6, 'UTC'), symbol UInt8) ENGINE = MergeTree {LAYOUTS[layout]}")
    hot.client.command(
        f"INSERT INTO {table} SELECT toDateTime64('2024-01-01 00:00:00', 6, 'UTC')"
        f" + toIntervalMicrosecond(number * {days * 86_400_000_000 // rows}), number % 50 FROM numbers({rows})",
        settings={"max_partitions_per_insert_block": 0},
    )
    stream = Stream(
        name="s", source=table, target=table, timestamp_column="ts", bounds=BatchBounds(rows=max(1, rows // 100))
    )
    hot.source.describe(table)
    cutoff = FIRST + timedelta(days=days)
    begun = StreamRecord.unseen("s", hot.source.now(), BEGINNING)
    planner = Planner(hot.source, MemoryLedger())
    found: dict[str, Reading] = {}

    def note(name: str, work: Callable[[], object]) -> None:
        found[name] = Reading()
        with counted(found[name]):
            work()

    whole = Window(lower=BEGINNING, upper=cutoff)
    note("baseline", lambda: (hot.source.extent(stream, whole), hot.source.histogram(stream, whole, Step.DAY)))
    note("first batch", lambda: next(planner.batches(stream, begun, _IDENTITY, cutoff)))
    note("all batches", lambda: list(planner.batches(stream, begun, _IDENTITY, cutoff)))
    late = StreamRecord.unseen("s", hot.source.now(), cutoff - timedelta(minutes=15))
    note("a tick", lambda: list(planner.batches(stream, late, _IDENTITY, cutoff)))
    return found


def main() -> int:
    """Measure every layout, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=366)
    parser.add_argument("--rows", type=int, default=20_000_000)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        EmbeddedStack.start(Path(directory), only=[ComponentName.CLICKHOUSE, ComponentName.STORE]) as stack,
        hot_tier(stack, "planning") as hot,
    ):
        sys.stdout.write(f"{given.rows:,} rows of {given.days:,} days, a hundredth of them a batch\n\n")
        sys.stdout.write("| table | plan | statements | rows read | of the baseline | MB read | seconds |\n")
        sys.stdout.write("|---|---|---|---|---|---|---|\n")
        for layout in LAYOUTS:
            found = measure(hot, layout, given.days, given.rows)
            for name, one in found.items():
                sys.stdout.write(
                    f"| {layout} | {name} | {one.statements} | {one.rows:,} | {one.rows / found['baseline'].rows:.4f}"
                    f" | {one.bytes / 1e6:,.2f} | {one.seconds:.3f} |\n"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
