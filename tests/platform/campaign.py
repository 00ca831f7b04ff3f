"""Cycles of the platform at explicit cutoffs, by real events: ticks, quiet ticks, a late row in a closed day."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from consumer.adapters.clickhouse.inventory import ClickHouseInventory
from consumer.bootstrap import Application
from consumer.demo.group import Group
from consumer.demo.market import BARS, TABLES
from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.event import Event
from consumer.domain.event_factory import partition_closed, tick
from consumer.domain.planning import floor_to_span
from consumer.ports import StreamState
from tests.platform.trading import CYCLE, Trading

_DEADLINE_S = 600.0
_LOOK_S = 0.02

DAY = timedelta(days=1)


class CampaignError(Exception):
    """The platform did not do what it has to; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """One cycle from the first tick to the last offset: what was offloaded, and when each stream was there.

    Attributes:
        rows: rows of all tables.
        seconds: from sending the ticks to the last committed offset.
        reached: seconds from the ticks until the stream's watermark was committed, of the streams that moved.
        cpu: CPU seconds by process group.
        load: the machine's load average over the last minute, at the end.
        started_ns: when the ticks were sent, in nanoseconds since 1970.
        ended_ns: when the last offset was committed.
    """

    rows: int
    seconds: float
    reached: Mapping[str, float]
    cpu: Mapping[str, float]
    load: float
    started_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A late row in a closed day: the table's rows, and the seconds from the event to the supplement's offset.

    ``cpu`` and ``load`` as of a cycle.
    """

    table_rows: int
    seconds: float
    cpu: Mapping[str, float]
    load: float


@dataclass
class Campaign:
    """Plays cycles against consumers that run already; ``cpu`` tells the CPU seconds that were used so far."""

    application: Application
    group: Group
    trading: Trading
    cpu: Callable[[], Mapping[str, float]] = dict
    alive: Callable[[], None] = lambda: None
    lower: datetime = field(kw_only=True)

    def cycle(self, rows: int) -> Cycle:
        """Let a quarter of an hour pass with ``rows`` rows over the ten tables, and offload them."""
        before = self._rows()
        self.trading.trade(self.lower, rows)
        self.lower += CYCLE
        added = self._rows() - before
        wanted = _targets(self.lower)
        marks = {name: record.watermark for name, record in self.application.ledger.read(TABLES).items()}
        moving = {name: mark for name, mark in wanted.items() if name not in marks or marks[name] < mark}
        used, started_ns, started = self.cpu(), time.time_ns(), time.perf_counter()
        self.application.event_sink.send([tick(stream=name, boundary=self.lower) for name in TABLES])
        reached = self._reached(moving, started)
        self._acknowledged()
        seconds, ended_ns = time.perf_counter() - started, time.time_ns()
        after = self.cpu()
        return Cycle(
            rows=added,
            seconds=seconds,
            reached=reached,
            cpu={name: after[name] - used[name] for name in after},
            load=os.getloadavg()[0],
            started_ns=started_ns,
            ended_ns=ended_ns,
        )

    def idle(self, rounds: int) -> tuple[int, int]:
        """Send ticks to all streams that find nothing; return when this began and ended, in ns since 1970."""
        began_ns = time.time_ns()
        for number in range(rounds):
            boundary = self.lower + timedelta(milliseconds=number + 1)
            self.application.event_sink.send([tick(stream=name, boundary=boundary) for name in TABLES])
            self._reached(_targets(boundary), time.perf_counter())
            self._acknowledged()
        return began_ns, time.time_ns()

    def fill_day(self, table: str, day: datetime, rows: int) -> float:
        """Insert a whole day into a bronze table, offload it and let it close; return the offload's seconds."""
        self.trading.feed(table, day, day + DAY, rows)
        started = time.perf_counter()
        self.application.event_sink.send([tick(stream=table, boundary=day + DAY)])
        self._reached({table: day + DAY}, started)
        self._acknowledged()
        seconds = time.perf_counter() - started
        self._close(table, day)
        return seconds

    def late_row(self, table: str, day: datetime) -> Late:
        """Insert one row into a closed day, announce it, and wait for the supplement's offset."""
        before, rows = self._supplements(table), self.trading.market.count(table)
        noon = day + DAY / 2
        self.trading.feed(table, noon, noon + timedelta(seconds=1), 1)
        used = self.cpu()
        seconds = self._close(table, day)
        after = self.cpu()
        if self._supplements(table) != before + 1:
            raise CampaignError(f"{table}: the late row made {self._supplements(table) - before} supplements")
        return Late(
            table_rows=rows,
            seconds=seconds,
            cpu={name: after[name] - used[name] for name in after},
            load=os.getloadavg()[0],
        )

    def catch_up(self) -> None:
        """Send ticks until what is derived from late rows has arrived, too."""
        self.application.event_sink.send([tick(stream=name, boundary=self.lower + CYCLE) for name in TABLES])
        self._reached(_targets(self.lower + CYCLE), time.perf_counter())
        self._acknowledged()

    def _close(self, table: str, day: datetime) -> float:
        """Send the close of a day's partition as the emitter does; return the seconds until its offset is committed."""
        stream = self.application.streams[table]
        with closing(ClickHouseInventory(self.application.configuration.clickhouse)) as inventory:
            partitions = inventory.inventory(stream).partitions
        (partition,) = (one for one in partitions if day <= one.first < day + DAY)
        event = partition_closed(stream=table, table=stream.source, partition=partition, cutoff=day + DAY)
        started = time.perf_counter()
        self._send(event)
        return time.perf_counter() - started

    def _send(self, event: Event) -> None:
        self.application.event_sink.send([event])
        self._acknowledged()

    def _reached(self, wanted: Mapping[str, datetime], started: float) -> Mapping[str, float]:
        """Wait until every stream's watermark is where it has to be; return after how many seconds each was."""
        reached: dict[str, float] = {}

        def look() -> bool:
            for name, record in self.application.ledger.read(tuple(wanted)).items():
                if record.state is StreamState.HALTED:
                    raise CampaignError(f"{name} was halted: {record.halt_reason}")
                if record.watermark >= wanted[name]:
                    reached.setdefault(name, time.perf_counter() - started)
            return len(reached) == len(wanted)

        self._await(look, f"the watermarks of {', '.join(wanted)}")
        return reached

    def _acknowledged(self) -> None:
        """Wait until no event is unacknowledged and none waits in the outbox."""
        self._await(lambda: self.group.behind() == 0 and self._outbox() == 0, "the offsets")

    def _outbox(self) -> int:
        with self.application.database.transaction(repeatable=True) as connection:
            row = connection.execute("SELECT count(*) AS waiting FROM offload_outbox").fetchone()
        assert row is not None
        return int(row["waiting"])

    def _supplements(self, table: str) -> int:
        batches = self.application.ledger.batches(table, 1000)
        return sum(one.kind is BatchKind.SUPPLEMENT and one.status is BatchStatus.PUBLISHED for one in batches)

    def _rows(self) -> int:
        return sum(self.trading.rows(TABLES).values())

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        give_up = time.monotonic() + _DEADLINE_S
        while not condition():
            self.alive()
            if time.monotonic() > give_up:
                raise CampaignError(f"waited {_DEADLINE_S:.0f} s in vain for {what}")
            time.sleep(_LOOK_S)


def _targets(boundary: datetime) -> dict[str, datetime]:
    """Return the watermark that each stream has to reach by a tick at ``boundary``."""
    return {name: floor_to_span(boundary, BARS[name]) if name in BARS else boundary for name in TABLES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One table, hot against cold."""

    table: str
    hot_rows: int
    cold_rows: int
    missing: int
    surplus: int

    @property
    def equal(self) -> bool:
        """Whether no row is lost or doubled."""
        return self.hot_rows == self.cold_rows and not self.missing and not self.surplus


def judge(application: Application, trading: Trading) -> Sequence[Verdict]:
    """Compare every table by count and full-row digest, hot against cold."""
    verdicts = []
    for table in TABLES:
        found = application.verifier.verify(application.streams[table])
        verdicts.append(
            Verdict(
                table=table,
                hot_rows=trading.market.count(table),
                cold_rows=found.cold.rows,
                missing=found.missing,
                surplus=found.surplus,
            )
        )
    return verdicts
