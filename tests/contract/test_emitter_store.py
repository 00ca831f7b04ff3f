"""What every store of the emitter does, the one in Postgres and the one in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.emissions import PostgresEmitterStore
from consumer.adapters.postgres.migrations import migrate
from consumer.domain.emission import Emission, EmitterLease
from consumer.domain.errors import FencedError, LeaseHeldError
from consumer.emitter.ports import EmitterStore
from consumer.settings.connections import PostgresSettings
from consumer.testing.emissions import MemoryEmitterStore
from tests.support.ledger_values import T0, TTL
from tests.support.postgres_server import running_postgres

EMITTERS = 6
CLOSE = Emission(stream="ticks", partition_id="20260301", content_id="abc", cutoff=T0, event_id="close-1")


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with (
        running_postgres() as server,
        Database(PostgresSettings(dsn=SecretStr(server.create_database()))) as opened,
    ):
        migrate(opened)
        yield opened


@pytest.fixture(params=["postgres", "memory"])
def store(request: pytest.FixtureRequest) -> EmitterStore:
    if request.param == "memory":
        return MemoryEmitterStore()
    database: Database = request.getfixturevalue("database")
    with database.transaction() as connection:
        connection.execute(b"TRUNCATE offload_emitter, offload_emissions")
    return PostgresEmitterStore(database)


def test_of_many_emitters_one_gets_the_lease(store: EmitterStore) -> None:
    def acquire(number: int) -> str:
        try:
            return store.acquire(f"emitter-{number}", TTL).owner
        except LeaseHeldError:
            return "held"

    with ThreadPoolExecutor(EMITTERS) as pool:
        outcomes = list(pool.map(acquire, range(EMITTERS)))

    assert outcomes.count("held") == EMITTERS - 1


def test_every_acquisition_increments_the_epoch(store: EmitterStore) -> None:
    assert [store.acquire("first", TTL).epoch for _ in range(3)] == [1, 2, 3]


def test_an_expired_lease_is_taken_over(store: EmitterStore) -> None:
    store.acquire("first", timedelta(milliseconds=150))
    deadline = time.monotonic() + 10

    def take_over() -> EmitterLease | None:
        try:
            return store.acquire("second", TTL)
        except LeaseHeldError:
            return None

    while (taken := take_over()) is None:
        assert time.monotonic() < deadline, "the lease never expired"
        time.sleep(0.02)
    assert taken == EmitterLease(owner="second", epoch=2)


def test_a_renewed_lease_is_not_taken_over_after_its_first_term(store: EmitterStore) -> None:
    first = store.acquire("first", timedelta(milliseconds=50))
    store.renew(first, TTL)
    time.sleep(0.1)  # the first term has to pass, and there is nothing to wait for

    with pytest.raises(LeaseHeldError, match="first"):
        store.acquire("second", TTL)


def test_a_released_lease_is_free_and_its_epoch_is_not_used_again(store: EmitterStore) -> None:
    store.release(store.acquire("first", TTL))

    assert store.acquire("second", TTL).epoch == 2


def test_an_old_epoch_can_do_nothing(store: EmitterStore) -> None:
    old = store.acquire("first", TTL)
    store.acquire("first", TTL)

    attempts: list[Callable[[], None]] = [
        lambda: store.renew(old, TTL),
        lambda: store.record_tick(old, T0),
        lambda: store.record_emissions(old, [CLOSE]),
    ]
    for attempt in attempts:
        with pytest.raises(FencedError, match=r"epoch 1.*at epoch 2"):
            attempt()
    store.release(old)

    assert store.last_tick() is None
    assert store.emissions(["ticks"]) == []
    with pytest.raises(LeaseHeldError):
        store.acquire("second", TTL)


def test_the_last_tick_is_remembered_and_never_goes_back(store: EmitterStore) -> None:
    assert store.last_tick() is None
    lease = store.acquire("first", TTL)

    store.record_tick(lease, T0)
    store.record_tick(lease, T0 - timedelta(minutes=15))

    assert store.last_tick() == T0


def test_the_last_close_of_each_partition_is_remembered(store: EmitterStore) -> None:
    lease = store.acquire("first", TTL)
    other = replace(CLOSE, partition_id="20260302", event_id="close-2")
    foreign = replace(CLOSE, stream="bars")
    again = replace(CLOSE, content_id="def", event_id="close-3")

    store.record_emissions(lease, [CLOSE, other, foreign])
    store.record_emissions(lease, [again])

    assert store.emissions(["ticks"]) == [again, other]
    assert store.emissions([]) == []
