"""A soak: quarter hour after quarter hour of trading and trouble, then maintenance, the audit and the judge."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from consumer.demo.market import TABLES
from consumer.domain.errors import TransientError
from consumer.ports import StreamState
from tests.platform.trading import CYCLE
from tests.soak.disturbance import Disturbance
from tests.soak.gauges import Reading, read_gauges
from tests.soak.lags import LagMeter, target
from tests.soak.schedule import LONG, Schedule, Trouble
from tests.soak.stage import EMITTER, PASSING, SETTLE_LAG, STAYING, SoakStage
from tests.soak.witness import Verdict
from tests.support.waiting import wait_for

JUMP = timedelta(minutes=20)
"""By how much ClickHouse's clock jumps: past the next tick, or before the last one."""
_MARGIN = timedelta(minutes=5)
"""Late rows are so much younger than the TTL: it must not take them before anybody has seen them."""
_PATIENCE_S = 300.0
_DAY = timedelta(days=1)
_GRACE = 2 * _DAY
_ROWS = b"""
SELECT stream, coalesce(sum(rows), 0)::bigint FROM offload_batches
WHERE status = 'published' AND kind IN ('window', 'supplement') GROUP BY stream
"""
_BATCHES = b"""
SELECT extract(epoch FROM started)::float8, extract(epoch FROM ended - started)::float8 FROM offload_batches
WHERE status = 'published' ORDER BY started
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A published batch: when it was begun, in seconds since 1970, and how many seconds it took with all attempts."""

    started: float
    seconds: float


@dataclass
class Campaign:
    """Plays a schedule.

    Attributes:
        rows: rows of a quarter hour, over the ten tables.
        first: when the first quarter hour begins.
        began: when each tick began, in seconds since 1970 of real time.
        incomplete: ticks that ended with rows which were not in the cold tier yet.
    """

    stage: SoakStage
    schedule: Schedule
    random: Random
    rows: int
    first: datetime
    meter: LagMeter = field(default_factory=LagMeter)
    began: list[float] = field(default_factory=list)
    incomplete: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._disturbance = Disturbance(self.stage, self.random)

    def run(self, seconds: float = math.inf) -> Iterator[Reading]:
        """Play all ticks; yield what the gauges say after each one that ends with all servers up.

        After so many ``seconds`` the first tick is the last that leaves nothing to be done.
        """
        until = time.monotonic() + seconds
        self.stage.clock.set(self.first)
        for role in (STAYING, PASSING, EMITTER):
            self.stage.start(role)
        for tick in range(self.schedule.ticks):
            self._tick(tick)
            if not self._disturbance.away:
                yield read_gauges(self.stage, self.stage.processes[STAYING].pid, tick)
            if time.monotonic() > until and tick not in self.incomplete:
                return

    def end(self) -> Reading:
        """Let the last day close, end all processes, maintain every table, and return what is left."""
        pid = self.stage.processes[STAYING].pid
        last = read_gauges(self.stage, pid, len(self.began) - 1)
        self._close_last_day()
        for role in (EMITTER, PASSING, STAYING):
            self.stage.terminate(role)
        # What the first run finds superfluous goes with the second one, after the grace period.
        for _ in range(2):
            self.stage.run("maintain")
            self.stage.age_ledger(_GRACE)
        kept = read_gauges(self.stage, pid, len(self.began), every_file=True)
        return Reading(
            tick=kept.tick,
            memory_mib=last.memory_mib,
            handles=last.handles,
            threads=last.threads,
            ledger_mib=kept.ledger_mib,
            files=kept.files,
            small_files=kept.small_files,
            snapshots=kept.snapshots,
        )

    def audit(self) -> Mapping[str, Sequence[str]]:
        """Return what icehaul's own audit finds fault with, by stream; nothing for a clean one."""
        application = self.stage.application
        found = {}
        for name in TABLES:
            audit = application.auditor.audit(application.streams[name])
            found[name] = [] if audit.clean else [str(check) for check in audit.checks if not check.clean]
        return found

    def judge(self) -> Sequence[Verdict]:
        """Compare every row that was inserted with every row that another engine reads."""
        return self.stage.feed.witness.judge(self.stage.application, self.stage.dsn)

    def batches(self) -> Sequence[Batch]:
        """Return how long the batches took."""
        return [Batch(started=started, seconds=seconds) for started, seconds in self.stage.query(_BATCHES)]

    def _tick(self, tick: int) -> None:
        lower = self.first + tick * CYCLE
        boundary = lower + CYCLE
        troubles = self.schedule.at(tick)
        if not self._disturbance.away:
            self.stage.age_ledger(CYCLE)
        self._insert(lower, boundary, troubles)
        ahead = JUMP * (troubles.count(Trouble.AHEAD) - troubles.count(Trouble.BEHIND))
        was_away = self._disturbance.away
        for trouble in troubles:
            if trouble in LONG:
                self._disturbance.take_away(trouble)
        self.began.append(datetime.now(UTC).timestamp())
        self.stage.clock.set(boundary + SETTLE_LAG, ahead=ahead)
        self.meter.begin(tick, boundary, TABLES)
        if was_away:
            self._disturbance.bring_back()
            self.stage.age_ledger(CYCLE)
        if self._disturbance.away:
            self._disturbance.endure()
        for trouble in troubles:
            self._disturbance.happen(trouble)
        # After a clock that was ahead, or with one that is behind, no tick is due.
        after_jump = tick > 0 and Trouble.AHEAD in self.schedule.at(tick - 1)
        if self._disturbance.away or after_jump or Trouble.BEHIND in troubles:
            self.incomplete.append(tick)
        else:
            self._complete(boundary)

    def _close_last_day(self) -> None:
        """Let two days pass without a row, so that every watermark is above the last row's day."""
        end = self.first + len(self.began) * CYCLE
        self.stage.clock.set(end + _GRACE + SETTLE_LAG)

        def closed() -> bool:
            self.stage.check_alive()
            return all(one.watermark >= end + _DAY for one in self.stage.application.ledger.read(TABLES).values())

        wait_for(closed, _PATIENCE_S, "the last day to be closed")
        wait_for(self.stage.acknowledged, _PATIENCE_S, "every event to be acknowledged")

    def _insert(self, lower: datetime, boundary: datetime, troubles: Sequence[Trouble]) -> None:
        feed = self.stage.feed
        for _ in range(troubles.count(Trouble.COLUMN)):
            feed.add_column()
        feed.quarter(lower, self.rows)
        oldest = max(self.first, boundary - feed.retention + _MARGIN)
        for _ in range(troubles.count(Trouble.LATE_ROWS)):
            feed.late(oldest + self.random.random() * (lower - oldest), boundary)
        if Trouble.TTL in troubles:
            feed.expire(boundary, datetime.now(UTC))

    def _complete(self, boundary: datetime) -> None:
        """Wait until every row that was inserted is committed, every watermark is there, and nothing is under way."""
        inserted = self.stage.feed.witness.rows()
        wanted = {name: target(name, boundary) for name in TABLES}
        missing = dict.fromkeys(TABLES, "not looked at")

        def look() -> bool:
            self.stage.check_alive()
            committed: dict[str, int] = dict(self.stage.query(_ROWS))
            try:
                records = self.stage.application.ledger.read(TABLES)
            except TransientError:
                return False  # by a connection from before the ledger was away
            missing.clear()
            for name, rows in inserted.items():
                record = records.get(name)
                if record is not None and record.state is StreamState.HALTED:
                    raise AssertionError(f"{name} was halted: {record.halt_reason}: {record.halt_remedy}")
                if record is None or record.watermark < wanted[name] or committed.get(name, 0) != rows:
                    mark = None if record is None else record.watermark
                    missing[name] = f"{committed.get(name, 0)} of {rows} rows, watermark {mark}"
            self.meter.complete([name for name in TABLES if name not in missing], self.stage.clock.true())
            return not missing

        try:
            wait_for(look, _PATIENCE_S, "all rows to be committed")
        except AssertionError as error:
            raise AssertionError(f"{error}; at {boundary}: {missing}") from error
        wait_for(self.stage.acknowledged, _PATIENCE_S, "every event to be acknowledged")
