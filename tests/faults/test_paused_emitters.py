"""Emitters and relays that are stopped past their lease at any step, and go on: what is recorded stays as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from consumer.adapters.kafka.relay import OutboxRelay
from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.emissions import PostgresEmitterStore
from consumer.adapters.postgres.ledger import PostgresLedger
from consumer.adapters.postgres.migrations import migrate
from consumer.domain.errors import FencedError, IcehaulError
from consumer.domain.event import EventType
from consumer.domain.stream import Stream, TableName
from consumer.emitter.emitter import Emitter, Round
from consumer.failpoints.acting import Failpoints
from consumer.failpoints.effect import Component
from consumer.failpoints.effects import POINTS
from consumer.settings.connections import PostgresSettings
from consumer.settings.emission import EmitterSettings
from consumer.testing.events import MemoryEventSink
from consumer.testing.rows import Row
from consumer.testing.source import MemorySource
from tests.support.interruptions import Freeze
from tests.support.ledger_values import STREAM, event
from tests.support.postgres_server import running_postgres
from tests.support.waiting import wait_until

NOW = datetime(2025, 3, 5, 12, 7, tzinfo=UTC)
CLOSED = datetime(2025, 3, 3, 8, tzinfo=UTC)
TRADES = Stream(
    name="trades",
    source=TableName.parse("market.trades"),
    target=TableName.parse("lake.trades"),
    timestamp_column="ts",
)
PATIENCE_S = 60.0

# Where the lease is not held yet, or is not needed any more: nothing is left to do.
FREE = ["emitter.before-claim", "closes.after-record", "emitter.before-release", "emitter.after-release"]
HELD = [
    *("emitter.after-claim", "ticks.before-send", "ticks.after-send", "ticks.before-record", "ticks.after-record"),
    *("emitter.before-renew", "emitter.after-renew"),
    *("closes.before-send", "closes.after-send", "closes.before-record"),
]
RELAY = [name for name, point in POINTS.items() if point.effect.component is Component.RELAY]


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with (
        running_postgres() as server,
        Database(PostgresSettings(dsn=SecretStr(server.create_database()))) as opened,
    ):
        migrate(opened)
        yield opened


@dataclass
class World:
    """A closed day of trades, two emitters of one deployment, and what they sent."""

    database: Database

    def __post_init__(self) -> None:
        with self.database.transaction() as connection:
            connection.execute(b"TRUNCATE offload_emitter, offload_emissions, offload_outbox")
        self.source, self.sink = MemorySource(NOW - timedelta(days=1)), MemoryEventSink()
        self.store = PostgresEmitterStore(self.database)
        self.source.create(TRADES.source, [Row(ts=CLOSED, seq=1)])
        self.source.time = NOW

    def emitter(self, owner: str, failpoints: Failpoints | None = None) -> Emitter:
        return Emitter(
            streams=(TRADES,),
            source=self.source,
            sink=self.sink,
            store=self.store,
            settings=EmitterSettings(),
            owner=owner,
            failpoints=failpoints,
        )

    def time_passes(self) -> None:
        """The lease runs out, the next tick is due, and a late row has closed the day with another content."""
        with self.database.transaction() as connection:
            connection.execute(b"UPDATE offload_emitter SET lease_expires = clock_timestamp() WHERE owner IS NOT NULL")
        self.source.insert(TRADES.source, [Row(ts=CLOSED, seq=2)])
        self.source.time += timedelta(minutes=15)

    def recorded(self) -> object:
        return self.store.last_tick(), self.store.emissions([TRADES.name])


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


@contextmanager
def stopped_at(point: str, work: Callable[[Failpoints], object]) -> Iterator[Callable[[], object]]:
    """Something that is stopped at a point; what is yielded lets it go on, and returns how it ended."""
    freeze = Freeze()
    freeze.arm(point)

    def run() -> object:
        try:
            return work(freeze)
        except IcehaulError as error:
            return error

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        try:
            wait_until(lambda: freeze.frozen or running.done(), seconds=PATIENCE_S, what=f"{point} to be reached")
            assert freeze.frozen, running.result()

            def go_on() -> object:
                freeze.thaw()
                return running.result(PATIENCE_S)

            yield go_on
        finally:
            freeze.thaw()


@pytest.mark.parametrize("point", HELD + FREE)
def test_an_emitter_that_is_stopped_past_its_lease_records_nothing_more(world: World, point: str) -> None:
    heir = world.emitter("heir")
    with stopped_at(point, lambda failpoints: world.emitter("paused", failpoints).run_once()) as go_on:
        world.time_passes()
        assert heir.run_once() == Round(ticks=1, closes=1, failed={})
        recorded = world.recorded()
        ended = go_on()
    assert isinstance(ended, FencedError if point in HELD else Round), ended
    assert world.recorded() == recorded
    # It may have sent what it was about to send: a hint that costs a look, with the id of what it was made from.
    ticks = {sent.id for sent in world.sink.events if sent.type is EventType.TICK}
    closes = {sent.id for sent in world.sink.events if sent.type is EventType.PARTITION_CLOSED}
    assert 1 <= len(ticks) <= 2
    assert 1 <= len(closes) <= 2
    assert heir.run_once() == Round(ticks=0, closes=0, failed={}), "nothing has been forgotten"


def test_an_emitter_that_runs_on_stands_by_once_it_has_lost_its_lease(world: World) -> None:
    stop = threading.Event()
    with stopped_at("closes.before-record", lambda failpoints: world.emitter("paused", failpoints).run(stop)) as go_on:
        world.time_passes()
        lease = world.store.acquire("heir", timedelta(minutes=1))
        recorded, sent = world.recorded(), len(world.sink.events)
        stop.set()
        assert go_on() is None
        assert world.recorded() == recorded
        assert len(world.sink.events) == sent
        world.store.renew(lease, timedelta(minutes=1))


@pytest.mark.parametrize("point", RELAY)
def test_a_relay_that_is_stopped_past_its_claim_loses_no_message(world: World, point: str) -> None:
    ledger = PostgresLedger(world.database, relay_claim=timedelta(milliseconds=50))
    sink = MemoryEventSink()

    def put(name: str) -> None:
        ledger.halt(STREAM, reason="r", remedy="m", epoch=None)
        ledger.park(event(name))
        ledger.resume(STREAM)

    put("first")
    with stopped_at(point, lambda failpoints: OutboxRelay(ledger, sink, failpoints).run_once()) as go_on:
        heir = OutboxRelay(ledger, sink)
        wait_until(
            lambda: heir.run_once() or point == "outbox.after-remove", seconds=PATIENCE_S, what="the claim to end"
        )
        put("second")
        go_on()
        wait_until(lambda: heir.run_once() or len({sent.id for sent in sink.events}) == 2, seconds=PATIENCE_S)
    assert {sent.id for sent in sink.events} == {"first", "second"}
    assert ledger.outbox(10) == []


def test_no_step_is_left_out() -> None:
    assert {*HELD, *FREE} == {name for name, point in POINTS.items() if point.effect.component is Component.EMITTER}
