"""A stream, its consumer and its view over both tiers; somebody who follows it, and somebody who queries it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from consumer.bootstrap import Application
from consumer.domain.stream import TableName
from consumer.entrypoints.cli.follow import look
from consumer.service.view import Position, Views
from tests.support.local_platform import LocalPlatform

COLLECTION = "icehaul_store"


@dataclass
class Case:
    """A stream, its consumer and its view."""

    platform: LocalPlatform
    application: Application
    stream: str
    views: Views
    name: TableName = field(init=False)

    def __post_init__(self) -> None:
        self.name = TableName(database=self.platform.name, table="everything")

    def make(self) -> bool:
        """Make the view, or bring it up to date; tell whether it had to be changed."""
        return self.views.make(self.application.streams[self.stream], self.name).replaced

    def boundary(self) -> datetime:
        """Where the view's tiers meet."""
        return self.views.names(self.application.streams[self.stream])[self.name].boundary

    def numbers(self) -> list[int]:
        """The numbers of the view's rows, ascending."""
        found = self.platform.client.query(f"SELECT seq FROM {self.name} ORDER BY seq")
        return [row[0] for row in found.result_rows]

    def differing(self) -> int:
        """Rows that are in the source or in the view only."""
        source = f"SELECT * FROM {self.platform.name}.trades"
        view = f"SELECT * FROM {self.name}"
        everything = {"asterisk_include_materialized_columns": 1}
        return sum(
            int(self.platform.client.query(query, settings=everything).result_rows[0][0])
            for one, other in ((source, view), (view, source))
            for query in (f"SELECT count() FROM ({one} EXCEPT ALL {other})",)
        )


@contextmanager
def case(platform: LocalPlatform, **settings: object) -> Iterator[Case]:
    """A stream with these settings, and a consumer that runs its tasks in this process."""
    stream = platform.add_stream(**settings)  # type: ignore[arg-type]
    with platform.consumer() as application:
        yield Case(platform, application, stream, application.views(COLLECTION))


class Follower:
    """What `icehaul view --follow` does, in a thread."""

    def __init__(self, one: Case) -> None:
        self._one = one
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._seen: dict[str, Position] = {}
        self.failing: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        one = self._one
        while not self._stop.wait(0.01):
            streams = [one.application.streams[one.stream]]
            look(one.views, streams, {one.stream: one.name}, self._seen, self.failing)


class Reader:
    """Somebody who queries the view again and again; ``wrong`` is what should never have been seen."""

    def __init__(self, one: Case, inserted: Callable[[], int]) -> None:
        server = one.platform.endpoints.clickhouse
        self._client: Client = clickhouse_connect.get_client(
            host=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            autogenerate_session_id=False,
        )
        self._query = f"SELECT count(), uniqExact(seq), max(seq) + 1 FROM {one.name}"
        self._inserted = inserted
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.queries = 0
        self.wrong: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def passed(self, queries: int) -> bool:
        """Tell whether so many queries have ended, or something was wrong."""
        return self.queries >= queries or bool(self.wrong)

    def _run(self) -> None:
        while not self._stop.is_set():
            least = self._inserted()
            try:
                ((rows, different, highest),) = self._client.query(self._query).result_rows
            except DatabaseError as error:
                self.wrong.append(str(error)[:500])
                return
            if not rows == different == highest or rows < least:
                self.wrong.append(f"{rows} rows, {different} different ones, up to {highest}; {least} were inserted")
            self.queries += 1
