"""A stream of three days that stand in both tiers, and what dropping one of them from the hot tier leaves where."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg

from consumer.bootstrap import Application
from consumer.domain.hot_drop import Selection
from consumer.failpoints.acting import Failpoints
from consumer.service.dropping.review import Report
from tests.support.local_platform import LocalPlatform

DAY, ID = "2024-01-01", "20240101"
ROWS = 60
ONE = Selection(partitions=(ID,))


class Tiers:
    """A stream of three days that are offloaded, and what stands where."""

    def __init__(self, platform: LocalPlatform, stream: str) -> None:
        self.platform = platform
        self.stream = stream
        self.source = f"{platform.name}.trades"

    def drop(self, selection: Selection = ONE, *, failpoints: str = "") -> Report:
        """Drop in a process of its own, as far as that matters: nothing but the servers is shared."""
        with self.platform.consumer(failpoints=Failpoints(failpoints)) as application:
            return application.hot_drops.drop(application.streams[self.stream], selection)

    def review(self, selection: Selection = ONE) -> Report:
        with self.platform.consumer() as application:
            return application.drop_review.review(application.streams[self.stream], selection)

    def hot(self, partition: str = ID, table: str | None = None) -> int:
        query = f"SELECT count() FROM {table or self.source} WHERE _partition_id = '{partition}'"
        return int(self.platform.client.query(query).result_rows[0][0])

    def cold(self) -> int:
        with self.platform.consumer() as application:
            return application.verifier.verify(application.streams[self.stream]).cold.rows

    def insert_late(self, rows: int = 1) -> None:
        self.platform.insert(rows, first=10_000, day=DAY)

    def quarantines(self) -> dict[str, int]:
        """The quarantine tables of the stream, with their rows."""
        rows = self.platform.client.query(
            f"SELECT name, total_rows FROM system.tables WHERE database = '{self.platform.name}'"
            " AND name LIKE 'icehaul_quarantine%'"
        ).result_rows
        return {str(name): int(count) for name, count in rows}

    def recorded(self) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.platform.dsn) as connection:
            return connection.execute(
                "SELECT partition_id, state, rows FROM offload_drops WHERE stream = %s ORDER BY started", [self.stream]
            ).fetchall()


@contextmanager
def before(application: Application, method: str, act: Callable[[], object]) -> Iterator[None]:
    """Do something just before a statement is sent."""
    partitions = application.partitions
    send = getattr(partitions, method)

    def acting(*arguments: object) -> object:
        act()
        return send(*arguments)

    with ExitStack() as restoring:
        restoring.callback(delattr, partitions, method)
        setattr(partitions, method, acting)
        yield
