from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from consumer.domain.emission import Emission, EmitterLease
from consumer.domain.errors import BrokerUnavailableError, FencedError, LeaseHeldError, LedgerUnavailableError
from consumer.domain.event import Event, EventType
from consumer.domain.stream import Stream, TableName
from consumer.emitter.emitter import Emitter
from consumer.settings.emission import EmitterSettings
from consumer.testing.emissions import MemoryEmitterStore
from consumer.testing.events import MemoryEventSink
from consumer.testing.rows import Row
from consumer.testing.source import MemorySource
from consumer.testing.telemetry import MemoryMetrics
from tests.support.waiting import wait_until

NOW = datetime(2025, 3, 5, 12, 7, tzinfo=UTC)
CLOSED = datetime(2025, 3, 3, 20, tzinfo=UTC)
TRADES, BARS = (
    Stream(
        name=name,
        source=TableName.parse(f"market.{name}"),
        target=TableName.parse(f"lake.{name}"),
        timestamp_column="ts",
    )
    for name in ("trades", "bars")
)
FAST = EmitterSettings(poll=timedelta(milliseconds=20), lease_seconds=30)


class World:
    """Two streams: one with a closed partition, one without partitions."""

    def __init__(self) -> None:
        self.source = MemorySource(CLOSED + timedelta(hours=4))
        self.sink = MemoryEventSink()
        self.store = MemoryEmitterStore(now=lambda: self.source.time)
        self.source.create(TRADES.source, [Row(ts=CLOSED, seq=1)])
        self.source.create(BARS.source)
        self.source.time = NOW

    def late_row(self) -> None:
        """Insert a row into the closed partition, and let it be quiet again."""
        self.source.insert(TRADES.source, [Row(ts=CLOSED, seq=2)])
        self.source.time += timedelta(minutes=6)

    def emitter(self, owner: str = "one", settings: EmitterSettings | None = None, **parts: object) -> Emitter:
        given: dict[str, object] = {"source": self.source, "sink": self.sink, "store": self.store, **parts}
        return Emitter(streams=(TRADES, BARS), settings=settings or EmitterSettings(), owner=owner, **given)  # type: ignore[arg-type]


@pytest.fixture
def world() -> World:
    return World()


def test_a_round_ticks_for_every_stream_and_closes_what_is_closed(world: World) -> None:
    done = world.emitter().run_once()
    assert (done.ticks, done.closes, done.failed) == (2, 1, {})
    ticks = [event for event in world.sink.events if event.type is EventType.TICK]
    assert {(event.stream, event.cutoff) for event in ticks} == {
        (name, datetime(2025, 3, 5, 12, 0, tzinfo=UTC)) for name in ("trades", "bars")
    }
    (close,) = [event for event in world.sink.events if event.type is EventType.PARTITION_CLOSED]
    assert (close.stream, close.partition_id, close.table) == ("trades", "20250303", "market.trades")
    assert close.cutoff == datetime(2025, 3, 4, tzinfo=UTC)


def test_nothing_is_sent_twice(world: World) -> None:
    for _ in range(3):
        world.emitter().run_once()
    assert len(world.sink.events) == 3


def test_changed_content_closes_the_partition_again_with_another_id(world: World) -> None:
    world.emitter().run_once()
    world.late_row()
    assert world.emitter().run_once().closes == 1
    first, second = [event for event in world.sink.events if event.type is EventType.PARTITION_CLOSED]
    assert first.id != second.id
    assert first.cutoff == second.cutoff


def test_a_stream_without_its_table_does_not_hold_up_the_others(world: World) -> None:
    world.source.drop(BARS.source)
    done = world.emitter().run_once()
    assert (done.ticks, done.closes) == (2, 1)
    assert list(done.failed) == ["bars"]


def test_without_an_acknowledgement_nothing_is_recorded(world: World) -> None:
    world.sink.down = True
    with pytest.raises(BrokerUnavailableError):
        world.emitter().run_once()
    assert world.store.last_tick() is None
    assert world.store.emissions(["trades"]) == []
    world.sink.down = False
    done = world.emitter().run_once()
    assert (done.ticks, done.closes) == (2, 1)


def test_a_close_that_was_not_acknowledged_is_not_recorded(world: World) -> None:
    world.sink.down = True
    emitter = world.emitter(settings=EmitterSettings(tick=timedelta(0)))
    with pytest.raises(BrokerUnavailableError):
        emitter.run_once()
    assert world.store.emissions(["trades"]) == []


class ForgetfulStore(MemoryEmitterStore):
    """Loses the connection after Kafka has acknowledged and before anything is recorded."""

    def record_tick(self, lease: EmitterLease, boundary: datetime) -> None:
        raise LedgerUnavailableError("gone", remedy="wait")

    def record_emissions(self, lease: EmitterLease, emissions: Sequence[Emission]) -> None:
        raise LedgerUnavailableError("gone", remedy="wait")


def test_a_crash_between_sending_and_recording_sends_the_same_events_again(world: World) -> None:
    with pytest.raises(LedgerUnavailableError):
        world.emitter(store=ForgetfulStore()).run_once()
    before = world.sink.events
    assert before
    world.emitter().run_once()
    after = world.sink.events[len(before) :]
    assert before == after[: len(before)]


def test_once_is_refused_while_another_emitter_is_active(world: World) -> None:
    world.store.acquire("other", timedelta(seconds=30))
    with pytest.raises(LeaseHeldError):
        world.emitter().run_once()
    assert world.sink.events == []


def test_once_gives_the_lease_back_even_if_it_fails(world: World) -> None:
    world.sink.down = True
    with pytest.raises(BrokerUnavailableError):
        world.emitter().run_once()
    world.store.acquire("other", timedelta(seconds=30))


class SlowSink(MemoryEventSink):
    """Takes longer than the lease lasts, and another emitter takes over."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def send(self, events: Sequence[Event]) -> None:
        super().send(events)
        self._world.source.time += timedelta(minutes=1)
        self._world.store.acquire("other", timedelta(seconds=30))


def test_an_emitter_that_was_replaced_in_the_middle_records_nothing(world: World) -> None:
    with pytest.raises(FencedError):
        world.emitter(sink=SlowSink(world)).run_once()
    assert world.store.last_tick() is None


@contextmanager
def _running(*emitters: Emitter) -> Iterator[None]:
    stop = threading.Event()
    errors: list[BaseException] = []

    def run(emitter: Emitter) -> None:
        try:
            emitter.run(stop)
        except BaseException as error:  # noqa: BLE001 - told to the test
            errors.append(error)

    threads = [threading.Thread(target=run, args=(emitter,)) for emitter in emitters]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []


def test_of_two_emitters_one_is_active_and_the_other_takes_over_when_it_stops(world: World) -> None:
    standby = world.emitter("two", FAST)
    with _running(world.emitter("one", FAST)):
        wait_until(lambda: len(world.sink.events) == 3, what="ticks and close")
        with _running(standby):
            world.source.time += timedelta(minutes=15)
            wait_until(lambda: len(world.sink.events) == 5, what="the next ticks, once")
    with _running(standby):
        world.source.time += timedelta(minutes=15)
        wait_until(lambda: len(world.sink.events) == 7, what="the ticks of the one that stood by")
    assert len({event.id for event in world.sink.events}) == 7


def test_an_emitter_outlives_a_broker_that_is_away_for_a_while(world: World) -> None:
    world.sink.down = True
    with _running(world.emitter("one", FAST)):
        wait_until(lambda: world.store._epoch > 0, what="the lease")
        world.sink.down = False
        wait_until(lambda: len(world.sink.events) == 3, what="all events")


def test_a_stopped_emitter_gives_its_lease_back(world: World) -> None:
    with _running(world.emitter("one", FAST)):
        wait_until(lambda: world.sink.events, what="events")
    world.store.acquire("other", timedelta(seconds=30))


def test_the_grace_time_is_never_below_a_stream_s_settle_lag(world: World) -> None:
    slow = replace(TRADES, settle_lag=timedelta(days=2))
    emitter = Emitter(
        streams=(slow,),
        source=world.source,
        sink=world.sink,
        store=world.store,
        settings=EmitterSettings(),
        owner="one",
    )
    assert emitter.run_once().closes == 0
    world.source.time += timedelta(days=1)
    assert emitter.run_once().closes == 1


def test_what_was_sent_who_is_active_and_which_tables_are_unseen_is_measured(world: World) -> None:
    active, standby = MemoryMetrics(), MemoryMetrics()
    first = world.emitter("one", FAST, metrics=active)
    assert not first.settled
    with _running(first):
        wait_until(lambda: active.counts["round"] >= 2)
        second = world.emitter("two", FAST, metrics=standby)
        with _running(second):
            wait_until(lambda: standby.values.get("active") == 0)
            assert (first.settled, second.settled) == (True, True)
            assert active.values["active"] == 1
            assert active.counts["sent icehaul.tick.v1"] == 2
            assert active.counts["sent icehaul.partition.closed.v1"] == 1
            assert active.values["unseen"] == 0
            world.source.drop(BARS.source)
            wait_until(lambda: active.values["unseen"] == 1)
            assert max(first.silence, second.silence) < 10
    assert active.values["active"] == 0
