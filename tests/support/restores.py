"""A stream of three days in both tiers, and what is restored of it into which table."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from consumer.adapters.spark.access import store_access
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.restore import RestoreChoice, staging_prefix
from consumer.domain.stream import TableName
from consumer.domain.window import EVER, Window
from consumer.failpoints.acting import Failpoints
from consumer.service.restoring.restores import Restored
from consumer.service.restoring.review import Plan
from spark.object_store import connect
from tests.support.local_platform import LocalPlatform, mapping_of, offload
from tests.support.platform import day

ROWS = 60
FIRST = Window(lower=day("2024-01-01"), upper=day("2024-01-02"))


def three_days(platform: LocalPlatform, **settings: Any) -> str:
    """Make a stream of three days, all of which stand in both tiers, each a window of its own; return its name."""
    stream = platform.add_stream(**settings)
    with platform.consumer() as application:
        for number in range(3):
            platform.insert(ROWS, first=number * ROWS, day=f"2024-01-0{number + 1}")
            assert offload(application, stream, day(f"2024-01-0{number + 2}")) == []
    return stream


class Restoring:
    """A stream that is offloaded, and restores of it; each in a process of its own, as far as that matters."""

    def __init__(self, platform: LocalPlatform, stream: str, into: str = "back") -> None:
        self.platform = platform
        self.stream = stream
        self.source = TableName(database=platform.name, table="trades")
        self.into = TableName(database=platform.name, table=into)

    def choice(self, **options: Any) -> RestoreChoice:
        """Everything, into a table that is made."""
        return RestoreChoice(**{"into": self.into, "within": EVER, "create": True, **options})

    def restore(self, *, failpoints: str = "", **options: Any) -> Restored:
        with self.platform.consumer(failpoints=Failpoints(failpoints)) as application:
            return application.restores.restore(application.streams[self.stream], self.choice(**options))

    def review(self, **options: Any) -> Plan:
        with self.platform.consumer() as application:
            return application.restore_review.review(application.streams[self.stream], self.choice(**options))

    def fingerprint(self, table: TableName, within: Window = EVER) -> Fingerprint:
        """Count and digest of a table's rows, by the code that reads sources."""
        with self.platform.consumer() as application:
            mapping = replace(mapping_of(application, self.stream), source_uuid=None)
            there = replace(application.streams[self.stream], source=table)
            return application.source.fingerprint(there, mapping, within)

    def described(self, table: TableName) -> list[tuple[str, str]]:
        """Names and types of a table's columns."""
        return [(row[0], row[1]) for row in self.platform.client.query(f"DESCRIBE {table}").result_rows]

    def differing(self, one: TableName, other: TableName) -> int:
        """Rows that are in one of the tables only, by their values."""
        names = ", ".join(name for name, _ in self.described(one))
        sides = (f"SELECT {names} FROM {one}", f"SELECT {names} FROM {other}")
        return sum(self.count(f"({left} EXCEPT ALL {right})") for left, right in (sides, sides[::-1]))

    def count(self, table: object) -> int:
        return int(self.platform.client.query(f"SELECT count() FROM {table}").result_rows[0][0])

    def run(self, statement: str) -> None:
        self.platform.client.command(statement)

    def stagings(self) -> dict[str, int]:
        """The staging tables for the destination, and for the source, with their rows."""
        prefixes = [staging_prefix(table) for table in (self.into, self.source)]
        rows = self.platform.client.query(
            f"SELECT name, total_rows FROM system.tables WHERE database = '{self.platform.name}'"
            f" AND arrayExists(prefix -> startsWith(name, prefix), {prefixes})"
        ).result_rows
        return {str(name): int(count) for name, count in rows}

    def drops(self) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.platform.dsn) as connection:
            return connection.execute(
                "SELECT partition_id, state FROM offload_drops WHERE stream = %s ORDER BY started", [self.stream]
            ).fetchall()

    def overwrite(self, change: Callable[[pa.Table], pa.Table], within: Window) -> str:
        """Change what a data file of the stretch says, where it stands, and return its path."""
        with self.platform.consumer() as application:
            target = application.streams[self.stream].target
            snapshot = application.catalog.past(target, None)
            assert snapshot is not None
            assert snapshot.snapshot_id is not None
            path = application.catalog.files_at(target, snapshot.snapshot_id, within)[0].path
        store = connect(store_access(self.platform.configuration().store))
        key = path.removeprefix("s3://")
        with store.open_input_stream(key) as stored:
            rows = pq.read_table(io.BytesIO(stored.read()))
        written = io.BytesIO()
        pq.write_table(change(rows), written, compression="zstd")
        with store.open_output_stream(key) as out:
            out.write(written.getvalue())
        return path
