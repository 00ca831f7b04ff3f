"""In danger of loss a stream does not wait for its upstreams, or is halted; and everybody is told how near it is."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from consumer.domain.errors import LedgerUnavailableError
from consumer.domain.event_factory import tick
from consumer.domain.planning import CutoffReason
from consumer.domain.retention import OnDanger, RetentionPolicy
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import BEGINNING
from consumer.entrypoints.cli.status_view import status_data
from consumer.failpoints.acting import Failpoints
from consumer.ports import StreamRecord, StreamState
from consumer.service.doctor.finding import Severity
from consumer.service.doctor.retention import RetentionCheck
from consumer.service.loss_watch import LossWatch
from consumer.service.offload import Offload
from consumer.service.preview import Previewer
from consumer.service.status import Statuses
from consumer.testing.catalog import MemoryCatalog
from consumer.testing.engine import MemoryEngine
from consumer.testing.ledger import MemoryLedger
from consumer.testing.rows import Row
from consumer.testing.source import MemorySource
from consumer.testing.telemetry import MemoryMetrics
from tests.support.memory_repairs import memory_repairs

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class World:
    """Bars that are derived from trades, of which nothing was read yet; both in tables with a TTL."""

    def __init__(self, *, clause: str | None = "ts + toIntervalDay(2)", oldest: timedelta = 44 * HOUR) -> None:
        self.source = MemorySource(NOW)
        self.ledger = MemoryLedger(now=lambda: NOW)
        self.engine = MemoryEngine(self.source)
        self.catalog = MemoryCatalog(self.ledger, self.engine.written, hit=lambda _point: None)
        self.metrics = MemoryMetrics()
        self.streams = {"trades": self.stream("trades"), "bars": self.stream("bars", upstreams=("trades",))}
        for one in self.streams.values():
            self.source.create(one.source, [Row(ts=NOW - oldest, seq=1), Row(ts=NOW - HOUR, seq=2)])
            if clause is not None:
                self.source.clauses[one.source] = clause

    def stream(self, name: str, **changes: object) -> Stream:
        fields: dict[str, object] = {
            "name": name,
            "source": TableName(database="market", table=name),
            "target": TableName(database="bronze", table=name),
            "timestamp_column": "ts",
        }
        return Stream(**{**fields, **changes})  # type: ignore[arg-type]

    def policy(self, **changes: object) -> None:
        policy = RetentionPolicy(**changes)  # type: ignore[arg-type]
        self.streams["bars"] = self.stream("bars", upstreams=("trades",), retention=policy)

    def handle(self, stream: str, boundary: datetime = NOW) -> None:
        Offload(
            streams=self.streams,
            source=self.source,
            ledger=self.ledger,
            backfills=self.ledger.backfills,
            catalog=self.catalog,
            engine=self.engine,
            metrics=self.metrics,
            heal=memory_repairs(
                source=self.source, ledger=self.ledger, catalog=self.catalog, engine=self.engine, owner="me"
            ).heal,
            dropped=lambda stream: (),
            owner="me",
            lease=timedelta(seconds=30),
            failpoints=Failpoints(),
        ).handle(tick(stream=stream, boundary=boundary), threading.Event())

    def watermark(self, stream: str) -> datetime:
        records = self.ledger.read([stream])
        return records[stream].watermark if stream in records else BEGINNING

    def preview(self) -> Previewer:
        return Previewer(source=self.source, ledger=self.ledger, backfills=self.ledger.backfills, catalog=self.catalog)

    def watch(self) -> LossWatch:
        return LossWatch(streams=self.streams, source=self.source, ledger=self.ledger, metrics=self.metrics)

    def doctor(self, stream: str) -> list[Severity]:
        check = RetentionCheck(stream=self.streams[stream], source=self.source, ledger=self.ledger)
        return [one.severity for one in check.run()]


def test_in_danger_a_stream_does_not_wait_for_its_upstreams() -> None:
    world = World()
    cutoff = world.preview().preview(world.streams["bars"]).cutoff
    assert cutoff.reason is CutoffReason.TTL
    for part in ("ts + toIntervalDay(2)", "margin of 6h", "upstream trades was never read", "market.bars"):
        assert part in cutoff.detail
    world.handle("bars")
    assert world.watermark("bars") == NOW - timedelta(minutes=5)


@pytest.mark.parametrize(
    ("clause", "oldest"),
    [
        (None, 44 * HOUR),
        ("ts + toIntervalDay(2)", 42 * HOUR),
        ("ts + toIntervalDay(2) TO VOLUME 'slow'", 44 * HOUR),
        ("if(seq = 1, ts, ts)", 44 * HOUR),
    ],
)
def test_without_a_danger_that_is_known_it_waits(clause: str | None, oldest: timedelta) -> None:
    world = World(clause=clause, oldest=oldest)
    assert world.preview().preview(world.streams["bars"]).cutoff.reason is CutoffReason.UPSTREAM
    world.handle("bars")
    assert world.watermark("bars") == BEGINNING


def test_rows_that_the_upstream_lets_it_read_are_no_reason_to_overtake_it() -> None:
    world = World()
    world.handle("trades", boundary=NOW - 10 * HOUR)
    # The row in danger is read now; what is left lies above the upstream's watermark, and is young.
    assert world.preview().preview(world.streams["bars"]).cutoff.reason is CutoffReason.UPSTREAM
    world.handle("bars")
    assert world.watermark("bars") == NOW - 10 * HOUR


def test_the_margin_is_the_streams_own() -> None:
    world = World()
    world.policy(margin=3 * HOUR)
    assert world.preview().preview(world.streams["bars"]).cutoff.reason is CutoffReason.UPSTREAM
    world.policy(margin=5 * HOUR)
    assert world.preview().preview(world.streams["bars"]).cutoff.reason is CutoffReason.TTL


def test_a_stream_that_is_to_be_halted_is_halted_with_reason_and_remedy_and_its_event_kept() -> None:
    world = World()
    world.policy(on_danger=OnDanger.HALT)
    world.handle("bars")
    record = world.ledger.read(["bars"])["bars"]
    assert record.state is StreamState.HALTED
    assert record.watermark == BEGINNING
    assert "2026-01-10 16:00" in (record.halt_reason or "")
    assert "MODIFY TTL" in (record.halt_remedy or "")
    assert "icehaul resume bars" in (record.halt_remedy or "")
    assert len(world.ledger.parked("bars")) == 1


def test_a_plan_tells_that_the_stream_would_be_halted() -> None:
    world = World()
    world.policy(on_danger=OnDanger.HALT)
    found = world.preview().preview(world.streams["bars"])
    assert found.cutoff.reason is CutoffReason.UPSTREAM
    assert "MODIFY TTL" in str(found.obstacle)


def test_a_stream_without_upstreams_is_never_halted_for_offloading_is_what_saves_its_rows() -> None:
    world = World()
    policy = RetentionPolicy(on_danger=OnDanger.HALT, margin=40 * DAY)
    world.streams["trades"] = world.stream("trades", retention=policy)
    world.handle("trades")
    assert world.watermark("trades") == NOW - timedelta(minutes=5)


def test_the_watch_measures_every_stream_and_knows_those_in_danger() -> None:
    world = World()
    watch = world.watch()
    assert watch.rank("bars") is None
    watch.look()
    assert world.metrics.values["time_to_loss trades"] == (4 * HOUR).total_seconds()
    assert watch.rank("bars") == (0, (NOW + 4 * HOUR).timestamp())
    world.handle("trades")
    watch.look()
    # From the watermark on, though no row is there: one may come.
    assert world.metrics.values["time_to_loss trades"] == (2 * DAY).total_seconds() - 300
    assert watch.rank("trades") is None
    assert watch.rank("bars") is not None


def test_a_stream_that_can_not_be_looked_at_is_unknown_and_stops_no_other() -> None:
    world = World()
    del world.source.tables[world.streams["trades"].source]
    world.watch().look()
    assert math.isnan(world.metrics.values["time_to_loss trades"])
    assert world.metrics.values["time_to_loss bars"] == (4 * HOUR).total_seconds()
    _, statuses = Statuses(source=world.source, ledger=world.ledger, backfills=world.ledger.backfills).read(
        world.streams, batches=1
    )
    assert [one.outlook is None for one in statuses] == [True, False]


@pytest.mark.parametrize("error", [LedgerUnavailableError("no answer", remedy="wait"), RuntimeError("a defect")])
def test_the_watch_goes_on_after_whatever_fails(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    world, stop = World(), threading.Event()
    read, calls = world.ledger.read, itertools.count()

    def failing(streams: Sequence[str]) -> Mapping[str, StreamRecord]:
        if next(calls) == 0:
            raise error
        stop.set()
        return read(streams)

    monkeypatch.setattr(world.ledger, "read", failing)
    world.watch().run(stop, timedelta(0))
    assert "time_to_loss trades" in world.metrics.values


@pytest.mark.parametrize(("clause", "seconds"), [(None, math.inf), ("if(seq = 1, ts, ts)", math.nan)])
def test_never_and_unknown_are_told_apart(clause: str | None, seconds: float) -> None:
    world = World(clause=clause)
    world.watch().look()
    found = world.metrics.values["time_to_loss trades"]
    assert found == seconds or (math.isnan(found) and math.isnan(seconds))


def test_an_empty_table_has_nothing_to_lose_even_if_nothing_was_read() -> None:
    world = World()
    world.source.tables[world.streams["trades"].source] = []
    world.watch().look()
    assert world.metrics.values["time_to_loss trades"] == math.inf
    assert world.doctor("trades") == [Severity.OK]


def test_status_tells_the_time_to_loss() -> None:
    world = World()
    now, found = Statuses(source=world.source, ledger=world.ledger, backfills=world.ledger.backfills).read(
        world.streams, batches=1
    )
    assert status_data(now, found)["streams"][0]["time_to_loss"] == {
        "seconds": 4 * 3600,
        "at": NOW + 4 * HOUR,
        "clause": "ts + toIntervalDay(2)",
        "unknown_clauses": [],
        "safe": False,
        "in_danger": True,
    }


@pytest.mark.parametrize(
    ("clause", "oldest", "severity"),
    [
        (None, 44 * HOUR, Severity.OK),
        ("ts + toIntervalDay(2)", 42 * HOUR, Severity.OK),
        ("ts + toIntervalDay(2)", 43 * HOUR, Severity.WARNING),
        ("ts + toIntervalDay(2)", 48 * HOUR, Severity.ERROR),
        ("if(seq = 1, ts, ts)", HOUR, Severity.WARNING),
    ],
)
def test_the_doctor_warns_within_the_margin_and_of_what_nobody_can_tell(
    clause: str | None, oldest: timedelta, severity: Severity
) -> None:
    assert World(clause=clause, oldest=oldest).doctor("trades") == [severity]
