"""A group of consumers of two revisions on one ledger, with traffic; and the judge of what they did."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from psycopg import sql

from consumer.bootstrap import Application
from consumer.domain.batch import BatchStatus
from consumer.domain.event_factory import tick
from consumer.embedded.endpoints import Endpoints
from tests.matrix.stage import shorten_session
from tests.support.cold_tier import empty_database
from tests.support.local_platform import LocalPlatform, judge
from tests.support.processes import Running, icehaul

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
_BEAT = timedelta(hours=1)
_BEAT_S = 1.0
_PATIENCE_S = 180.0
_LATE_EVERY = 5
_AHEAD = 3
"""How many hours of rows may wait at most: the group is to be at work all the time, and not to have a backlog."""
_LOCAL = "tests.support.local_consumer"


class StuckError(Exception):
    """A step of the upgrade did not come to its end."""


@dataclass
class Member:
    """One consumer process.

    Attributes:
        name: what it is called in reports.
        running: the process.
    """

    name: str
    running: Running

    @property
    def published_as(self) -> str:
        """How owners of batches contain the process."""
        return f":{self.running.pid}:"


@dataclass
class Stage:
    """Tables, a topic, a group and a ledger of their own; members come and go.

    Attributes:
        old: the tree of the old revision.
        rows: how many rows each source table holds.
    """

    platform: LocalPlatform
    application: Application
    old: Path
    streams: Sequence[str]
    rows: dict[str, int] = field(default_factory=dict)
    beats: int = 0
    _members: ExitStack = field(default_factory=ExitStack)
    _started: int = 0

    def start(self, tree: Path, name: str) -> Member:
        """Start a consumer with the code of a tree."""
        self._started += 1
        log = self.platform.directory / f"{self._started:02}-{name.replace(' ', '-')}.log"
        config = str(self.platform.write())
        running = self._members.enter_context(
            icehaul(config, log=log, environment=self.environment, program=_LOCAL, folder=tree)
        )
        return Member(name=name, running=running)

    @property
    def environment(self) -> dict[str, str]:
        """What processes need besides the configuration; the folder that they run in holds their code."""
        return {**self.platform.environment(), "PYTHONPATH": ""}

    @property
    def full_environment(self) -> dict[str, str]:
        """The whole environment of such a process."""
        return {**os.environ, **self.environment}

    def beat(self) -> None:
        """Let another hour of rows arrive in every source, sometimes with late ones, and tell of it."""
        lower = FIRST + _BEAT * self.beats
        for stream in self.streams:
            table = stream.removeprefix(f"{self.platform.name}_")
            self._insert(stream, table, lower, 20)
            if self.beats % _LATE_EVERY == _LATE_EVERY - 1:
                self._insert(stream, table, lower - 2 * _BEAT, 3)
        self.beats += 1
        events = [tick(stream=stream, boundary=FIRST + _BEAT * self.beats) for stream in self.streams]
        self.application.event_sink.send(events)

    def _insert(self, stream: str, table: str, first: datetime, rows: int) -> None:
        before = self.rows.get(stream, 0)
        self.platform.client.command(
            f"INSERT INTO {self.platform.name}.{table} (ts, seq, symbol, price, quantity)"
            f" SELECT toDateTime64('{first:%Y-%m-%d %H:%M:%S}', 6, 'UTC') + toIntervalSecond(number),"
            f" number + {before}, ['BTC', 'ETH'][number % 2 + 1], number, number FROM numbers({rows})"
        )
        self.rows[stream] = before + rows

    def until_published(self, members: Collection[Member], what: str) -> None:
        """Let traffic come until each of the members has published something of it.

        Raises:
            StuckError: if one does not.
        """
        since = self._clock()

        def missing() -> list[str]:
            owners = self._owners(since)
            return [one.name for one in members if not any(one.published_as in owner for owner in owners)]

        self._traffic(missing, members, what)

    def until_moved(self, streams: Sequence[str], members: Collection[Member], what: str) -> None:
        """Let traffic come until the watermark of each of the streams has moved.

        Raises:
            StuckError: if one does not.
        """
        before = {name: watermark for name, watermark, _ in self._states()}

        def still() -> list[str]:
            now = {name: watermark for name, watermark, _ in self._states()}
            return [name for name in streams if now.get(name, FIRST) <= before.get(name, FIRST)]

        self._traffic(still, members, what)

    def settle(self, members: Collection[Member]) -> None:
        """Wait until everything that has come is offloaded.

        Raises:
            StuckError: if it is not.
        """
        goal = FIRST + _BEAT * self.beats

        def behind() -> list[str]:
            reached = {name: watermark for name, watermark, _ in self._states()}
            return [name for name in self.streams if name not in reached or reached[name] < goal]

        self._traffic(behind, members, "everything to be offloaded", beating=False)

    def _traffic(
        self, lacking: Callable[[], list[str]], members: Collection[Member], what: str, *, beating: bool = True
    ) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while lacks := lacking():
            for one in members:
                if one.running.popen.poll() is not None:
                    raise StuckError(f"{what}: {one.name} has ended: {one.running.text()[-2000:]}")
            for name, _, reason in self._states():
                if reason is not None:
                    raise StuckError(f"{what}: {name} is halted: {reason}")
            if time.monotonic() > deadline:
                raise StuckError(f"{what}: still waiting for {', '.join(lacks)}")
            if beating and self._ahead() < _AHEAD:
                self.beat()
            time.sleep(_BEAT_S)

    def _ahead(self) -> int:
        """Return how many hours of rows the slowest stream is behind."""
        slowest = min((max(watermark, FIRST) for _, watermark, _ in self._states()), default=FIRST)
        return self.beats - (slowest - FIRST) // _BEAT

    def _clock(self) -> datetime:
        with psycopg.connect(self.platform.dsn) as connection:
            row = connection.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        found: datetime = row[0]
        return found

    def _states(self) -> list[tuple[str, datetime, str | None]]:
        """Return name, watermark and reason of a halt of each stream, from columns that every revision's ledger has."""
        with psycopg.connect(self.platform.dsn) as connection:
            return connection.execute("SELECT stream, watermark, halt_reason FROM offload_watermarks").fetchall()

    def _owners(self, since: datetime) -> set[str]:
        with psycopg.connect(self.platform.dsn) as connection:
            rows = connection.execute(
                "SELECT DISTINCT owner FROM offload_batches WHERE status = %s AND started > %s",
                (BatchStatus.PUBLISHED.value, since),
            ).fetchall()
        return {owner for (owner,) in rows}

    def judge(self) -> None:
        """No row is lost or doubled, and ledger, table and store tell one story."""
        for stream in self.streams:
            judge(self.application, stream, rows=self.rows[stream])


@contextmanager
def staged(
    endpoints: Endpoints, name: str, directory: Path, old: Path, streams: int, patch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    """A stage whose ledger's database is empty; its secrets stand in this process's environment meanwhile."""
    dsn = empty_database(endpoints, name)
    with ExitStack() as closing:
        closing.callback(_drop, endpoints, name)
        platform = LocalPlatform(endpoints, name, directory, dsn=dsn)
        closing.callback(platform.close)
        for variable, value in platform.environment().items():
            patch.setenv(variable, value)
        names = [platform.add_stream(f"trades{number}") for number in range(streams)]
        yield closing.enter_context(_opened(platform, old, names))


@contextmanager
def _opened(platform: LocalPlatform, old: Path, names: Sequence[str]) -> Iterator[Stage]:
    with platform.consumer() as application, ExitStack() as members:
        application.topics.ensure()
        admin = AdminClient({"bootstrap.servers": platform.endpoints.kafka.bootstrap_servers, "log_level": 0})
        shorten_session(admin, application.configuration.kafka.group)
        yield Stage(platform=platform, application=application, old=old, streams=names, _members=members)


def _drop(endpoints: Endpoints, name: str) -> None:
    with psycopg.connect(endpoints.postgres.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
