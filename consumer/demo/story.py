"""The demo's story: load, offload, add, kill, replay, verify, all on real components."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from consumer.bootstrap import Application
from consumer.demo import market
from consumer.demo.failure import DemoFailure
from consumer.demo.group import Group
from consumer.demo.stage import SETTLE_LAG, Troupe
from consumer.demo.voice import Voice
from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.event_factory import tick
from consumer.domain.window import PartitionBy
from consumer.ports import BatchRecord, StreamState

_DEADLINE_SECONDS = 150.0
_POLL_SECONDS = 0.2
_HUNT_SECONDS = 0.005

# The captured rows come again on these later days, each in a month of its own, since one table is partitioned by month.
_ADDED_DAYS = 31
_KILL_DAYS = 62
_ADDED_COPIES: Mapping[str, int] = {
    "bronze_trades_binance": 1,
    "bronze_book_coinbase": 1,
    "bronze_book_kraken": 1,
}
_KILL_COPIES: Mapping[str, int] = {
    "bronze_trades_binance": 50,
    "bronze_book_coinbase": 20,
    "bronze_book_kraken": 20,
}


@dataclass(slots=True)
class Facts:
    """What the story has seen, for the report."""

    seconds: dict[str, float] = field(default_factory=dict)
    late_rows: int = 0
    kills: int = 0
    replays: int = 0
    events: int = 0
    traced: BatchRecord | None = None
    snapshots_before_replay: int = 0
    snapshots_after_replay: int = 0


class Story:
    """Plays the demo's phases on a stack that is up."""

    def __init__(
        self, *, application: Application, hot_tier: market.Market, troupe: Troupe, group: Group, voice: Voice
    ) -> None:
        self._application = application
        self._market = hot_tier
        self._troupe = troupe
        self._group = group
        self._voice = voice
        self.facts = Facts()
        self._console: str | None = None

    @contextmanager
    def phase(self, name: str, text: str) -> Iterator[None]:
        """Run a phase, and remember how long it took."""
        self._voice.phase(text)
        started = time.monotonic()
        yield
        self.facts.seconds[name] = round(time.monotonic() - started, 1)

    def prepare(self) -> None:
        """Migrate the ledger, make the topics and the tables, and start icehaul's processes."""
        with self.phase("prepare", "ledger, topics, tables; one emitter and two consumers in one group"):
            self._application.migrate()
            self._application.topics.ensure()
            self._market.create_tables()
            for name in ("consumer-1", "consumer-2"):
                self._troupe.start(name, "run")
            self._troupe.start("emitter", "emit")
            rows = self._market.load_captures()
            self._voice.fact(f"{rows:,} captured rows in 3 bronze tables; 1 silver, 6 gold derived")

    def offload(self) -> None:
        """Wait until everything captured has been offloaded."""
        with self.phase("offload", "the emitter sees closed partitions, the consumers offload them"):
            self._await_day(0)

    def add(self) -> None:
        """Add a day and wait for it."""
        with self.phase("add", f"the same rows once more, {_ADDED_DAYS} days later: only they are offloaded"):
            self._market.repeat_captures(days=_ADDED_DAYS, copies=_ADDED_COPIES)
            self._await_day(_ADDED_DAYS)

    def kill(self) -> None:
        """Add a larger day, kill a consumer with SIGKILL in the middle of a batch, and wait for the recovery."""
        with self.phase("kill", "a larger day; one consumer is killed (SIGKILL) amid a batch"):
            self._market.repeat_captures(days=_KILL_DAYS, copies=_KILL_COPIES)
            name, batch = self._hunt()
            self._troupe.kill(name)
            self.facts.kills += 1
            self._voice.fact(f"killed {name} while it wrote {batch.stream}")
            self._await_day(_KILL_DAYS)
            again = self._batch(batch.stream, batch)
            self._voice.fact(f"{batch.stream}: the batch was published at attempt {again.attempts}")

    def late(self) -> None:
        """Insert a trade into the first day, long closed, and wait until each tier has what follows from it."""
        with self.phase("late", "one trade arrives late, in a day that was closed long ago"):
            tables = self._market.trade_late()
            self._await(f"late rows of {len(tables)} streams", lambda: self._supplemented(tables))
            self.facts.late_rows = sum(one.rows for name in tables for one in self._supplements(name))
            self._voice.fact(f"1 row of bronze, 1 of silver, {len(market.BARS)} of gold were added, nothing else")

    def tick(self) -> None:
        """Send one tick to every stream: without rows, the watermarks move up to now."""
        with self.phase("tick", "a tick for every stream: no new rows, the watermarks move up to now"):
            boundary = self._application.source.now()
            self._application.event_sink.send([tick(stream=name, boundary=boundary) for name in market.TABLES])
            # A bar counts as final when its span and the settle lag have passed.
            self._await("the watermarks to reach the tick", lambda: self._moved(boundary - timedelta(days=2)))
            self._await("the group to acknowledge everything", lambda: self._group.behind() == 0)

    def replay(self) -> None:
        """Stop the consumers, reset the group's offsets to the beginning, start two, and wait for the end."""
        with self.phase("replay", "all events once more: the group's offsets are reset to the beginning"):
            before = self._snapshots()
            self._troupe.stop("consumer")
            self._group.rewind()
            events = self._group.behind()
            for name in ("consumer-3", "consumer-4"):
                self._troupe.start(name, "run")
            self._await("the replay to end", lambda: self._group.behind() == 0)
            after = self._snapshots()
            self.facts.replays += 1
            self.facts.snapshots_before_replay, self.facts.snapshots_after_replay = before, after
            self.facts.events = self._group.events()
            if after != before:
                raise DemoFailure(f"the replay of {events} events made {after - before} new snapshots")
            self._voice.fact(f"{events} events replayed: no new snapshot, so no new row")

    def _await_day(self, days: int) -> None:
        day = timedelta(days=days)
        wanted: dict[str, datetime] = {}
        for name in self._application.streams:
            capture = next((one for one in market.CAPTURES if one.table == name), market.CAPTURES[0])
            start = datetime(capture.day.year, capture.day.month, capture.day.day, tzinfo=UTC) + day
            source_partition = PartitionBy.MONTH if name == "bronze_book_kraken" else PartitionBy.DAY
            wanted[name] = source_partition.ceil(start)
        self._await(f"{len(wanted)} streams to be offloaded", lambda: self._reached(wanted))

    def _reached(self, wanted: Mapping[str, datetime]) -> bool:
        records = self._application.ledger.read(list(wanted))
        for record in records.values():
            if record.state is StreamState.HALTED:
                raise DemoFailure(f"stream {record.stream} was halted: {record.halt_reason}; {record.halt_remedy}")
        done = [name for name, record in records.items() if record.watermark >= wanted[name]]
        self._voice.progress(len(done), len(wanted), "streams")
        return len(done) == len(wanted)

    def _supplements(self, stream: str) -> Sequence[BatchRecord]:
        latest = self._application.ledger.batches(stream, 1000)
        return [one for one in latest if one.kind is BatchKind.SUPPLEMENT and one.status is BatchStatus.PUBLISHED]

    def _supplemented(self, streams: Sequence[str]) -> bool:
        done = sum(bool(self._supplements(name)) for name in streams)
        self._voice.progress(done, len(streams), "streams")
        return done == len(streams)

    def _moved(self, instant: datetime) -> bool:
        return self._reached(dict.fromkeys(market.TABLES, instant - SETTLE_LAG))

    def _hunt(self) -> tuple[str, BatchRecord]:
        """Wait for a batch that is being written, and return who writes it."""
        deadline = time.monotonic() + _DEADLINE_SECONDS
        names = [capture.table for capture in market.CAPTURES]
        while time.monotonic() < deadline:
            for name, record in self._application.ledger.read(names).items():
                latest = self._application.ledger.batches(name, 1)
                if record.owner is not None and latest and latest[0].status is BatchStatus.WRITING:
                    return self._troupe.by_pid(int(record.owner.split(":")[1])), latest[0]
            time.sleep(_HUNT_SECONDS)
        raise DemoFailure("no batch was seen being written")

    def _batch(self, stream: str, batch: BatchRecord) -> BatchRecord:
        found = [one for one in self._application.ledger.batches(stream, 100) if one.batch_id == batch.batch_id]
        return found[0] if found else self._application.ledger.batches(stream, 1)[0]

    def _snapshots(self) -> int:
        return sum(
            one.status is BatchStatus.PUBLISHED
            for name in market.TABLES
            for one in self._application.ledger.batches(name, 1000)
        )

    def _await(self, what: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while not condition():
            for name, log in self._troupe.fallen().items():
                raise DemoFailure(f"{name} ended by itself; the end of its log:\n{log}")
            self._show_console()
            if time.monotonic() > deadline:
                raise DemoFailure(f"waited {_DEADLINE_SECONDS:.0f} s for {what}; logs are in {self._troupe.paths.logs}")
            time.sleep(_POLL_SECONDS)
        self._voice.clear()

    def _show_console(self) -> None:
        """Say where to look, whenever the consumer that served it has been replaced by another one."""
        addresses = self._troupe.consoles()
        if addresses and self._console not in addresses:
            self._console = addresses[0]
            self._voice.fact(f"look at it, while it runs: {self._console}")
