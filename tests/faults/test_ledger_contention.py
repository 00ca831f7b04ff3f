"""Many owners, publishers and relays on one ledger, directly and through poolers in transaction mode."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from pydantic import SecretStr

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.ledger import PostgresLedger
from consumer.adapters.postgres.migrations import migrate
from consumer.adapters.postgres.publishing import fence, record
from consumer.domain.batch import Batch, BatchStatus
from consumer.domain.errors import FencedError, LeaseHeldError, UnknownCommitError
from consumer.domain.window import BEGINNING, Window
from consumer.ports import Claim
from consumer.settings.connections import PostgresSettings
from tests.support.ledger_values import DAY, STREAM, T0, TTL, batch, event, publication, trigger
from tests.support.pgbouncer import pgbouncer_program, running_pgbouncer
from tests.support.postgres_server import PostgresServer, running_postgres
from tests.support.transaction_pooler import TransactionPooler
from tests.support.waiting import wait_until

pytestmark = pytest.mark.thorough

OWNERS = 8
MESSAGES = 60
WINDOWS = 10
SNAPSHOT = 4_711
# Fewer server connections than owners: sessions are shared in earnest.
POOLED_SESSIONS = 3


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as running:
        yield running


@pytest.fixture(scope="module")
def pgbouncer(server: PostgresServer) -> Iterator[int]:
    if pgbouncer_program() is None:
        pytest.skip("pgbouncer is not installed (Debian package pgbouncer)")
    with running_pgbouncer(server, pool_size=POOLED_SESSIONS) as port:
        yield port


@pytest.fixture(params=["direct", "serializable", "pooler", "pgbouncer"])
def database(request: pytest.FixtureRequest, server: PostgresServer) -> Iterator[Database]:
    dsn = server.create_database()
    name = dsn.rsplit("/", 1)[1]
    with ExitStack() as exits:
        port = None
        if request.param == "serializable":
            # What others have set up as the default: icehaul's own transactions are READ COMMITTED all the same.
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = serializable".encode())
        elif request.param == "pooler":
            port = exits.enter_context(TransactionPooler(dsn, sessions=POOLED_SESSIONS)).port
        elif request.param == "pgbouncer":
            port = request.getfixturevalue("pgbouncer")
        settings = PostgresSettings(dsn=SecretStr(server.dsn(database=name, port=port)), pool_size=OWNERS)
        opened = exits.enter_context(Database(settings))
        migrate(opened)
        yield opened


@pytest.fixture
def ledger(database: Database) -> PostgresLedger:
    ledger = PostgresLedger(database, relay_claim=timedelta(milliseconds=100))
    ledger.register(STREAM)
    return ledger


def publish(database: Database, claim: Claim, planned: Batch) -> None:
    with database.transaction() as connection:
        work = publication(claim, planned)
        fence(connection, work)
        record(connection, work, SNAPSHOT)


def test_of_many_owners_one_gets_the_lease(ledger: PostgresLedger) -> None:
    together = threading.Barrier(OWNERS)

    def claim(number: int) -> str:
        together.wait()
        try:
            return ledger.claim(STREAM, f"owner-{number}", TTL).owner
        except LeaseHeldError:
            return "held"

    with ThreadPoolExecutor(OWNERS) as pool:
        outcomes = list(pool.map(claim, range(OWNERS)))

    assert outcomes.count("held") == OWNERS - 1
    found = ledger.read([STREAM])[STREAM]
    assert found.epoch == 1
    assert found.owner in outcomes


def test_no_epoch_is_given_twice(ledger: PostgresLedger) -> None:
    def claim_often(_: int) -> list[int]:
        return [ledger.claim(STREAM, "the-same-owner", TTL).epoch for _ in range(10)]

    with ThreadPoolExecutor(OWNERS) as pool:
        epochs = [epoch for taken in pool.map(claim_often, range(OWNERS)) for epoch in taken]

    assert sorted(epochs) == list(range(1, 10 * OWNERS + 1))


def test_of_many_publishers_of_one_batch_one_wins(database: Database, ledger: PostgresLedger) -> None:
    claim, planned = ledger.claim(STREAM, "first", TTL), batch()
    ledger.begin(claim, planned, trigger())
    together = threading.Barrier(OWNERS)

    def attempt(_: int) -> str:
        together.wait()
        try:
            publish(database, claim, planned)
        except UnknownCommitError:
            return "read back"
        return "won"

    with ThreadPoolExecutor(OWNERS) as pool:
        outcomes = list(pool.map(attempt, range(OWNERS)))

    assert sorted(outcomes) == ["read back"] * (OWNERS - 1) + ["won"]
    assert len(ledger.batches(STREAM, 10)) == 1


def test_owners_that_take_the_lease_from_each_other_publish_every_window_once_and_leave_no_gap(
    database: Database, ledger: PostgresLedger
) -> None:
    def work(number: int) -> None:
        while True:
            with suppress(LeaseHeldError, FencedError, UnknownCommitError):
                # Leases about as long as the work they are for: everybody is a zombie now and then.
                claim = ledger.claim(STREAM, f"owner-{number}", timedelta(milliseconds=20))
                assert claim.continuous
                lower = claim.record.watermark
                upper = T0 if lower == BEGINNING else lower + DAY
                if upper > T0 + (WINDOWS - 1) * DAY:
                    return
                planned = batch(Window(lower=lower, upper=upper))
                ledger.begin(claim, planned, trigger())
                publish(database, claim, planned)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))

    found = [each for each in ledger.batches(STREAM, 1_000) if each.status is BatchStatus.PUBLISHED]
    bounds = sorted((each.window.lower, each.window.upper) for each in found)
    assert [lower for lower, _ in bounds] == [BEGINNING, *(upper for _, upper in bounds[:-1])]
    assert len(found) == WINDOWS
    assert ledger.read([STREAM])[STREAM].watermark == bounds[-1][1]


def test_an_heir_whose_claim_waits_for_a_publish_finds_the_window_that_it_has_published(
    server: PostgresServer, database: Database, ledger: PostgresLedger
) -> None:
    predecessor = ledger.claim(STREAM, "predecessor", timedelta(microseconds=1))
    first, second = batch(Window(lower=BEGINNING, upper=T0)), batch(Window(lower=T0, upper=T0 + DAY))
    for planned in (first, second):
        ledger.begin(predecessor, planned, trigger())
    publish(database, predecessor, first)

    with ThreadPoolExecutor(1) as pool, psycopg.connect(server.dsn(database="postgres"), autocommit=True) as other:

        def waits() -> bool:
            return other.execute("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone() is not None

        with database.transaction() as connection:
            work = publication(predecessor, second)
            fence(connection, work)
            record(connection, work, SNAPSHOT)
            heir = pool.submit(ledger.claim, STREAM, "heir", TTL)
            wait_until(waits, seconds=60, what="the claim to wait for the publish")
        claim = heir.result(60)

    assert claim.record.watermark == second.window.upper
    assert claim.continuous


def test_relays_that_run_at_once_lose_no_message_though_some_die(database: Database, ledger: PostgresLedger) -> None:
    ledger.halt(STREAM, reason="r", remedy="m", epoch=None)
    for number in range(MESSAGES):
        ledger.park(event(f"wake-{number}"))
    ledger.resume(STREAM)
    lock, sent = threading.Lock(), [""]

    def relay(number: int) -> None:
        while len(set(sent)) <= MESSAGES:
            taken = ledger.outbox(7)
            if number == 0:
                continue  # dies between reading and sending, again and again
            with lock:
                sent.extend(message.event.id for message in taken)
            ledger.relayed([message.number for message in taken])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(relay, range(4)))

    assert set(sent) == {"", *(f"wake-{number}" for number in range(MESSAGES))}
    assert ledger.outbox(10) == []


def test_nothing_of_a_transaction_stays_in_the_session(database: Database, ledger: PostgresLedger) -> None:
    with suppress(psycopg.errors.DivisionByZero), database.transaction(lock_timeout=timedelta(seconds=7)) as connection:
        connection.execute(b"SELECT 1/0")

    with database.transaction() as connection:
        row = connection.execute(
            b"SELECT current_setting('lock_timeout') AS lock, current_setting('synchronous_commit') AS synchronous,"
            b" (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') AS advisory"
        ).fetchone()
    assert row == {"lock": "5s", "synchronous": "on", "advisory": 0}


def test_a_commit_is_durable_even_where_the_server_is_set_to_lose_it(
    database: Database, ledger: PostgresLedger
) -> None:
    name = database.target.rsplit("/", 1)[1]
    with database.transaction() as connection:
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
    database.close()

    with database.transaction() as connection:
        row = connection.execute(b"SELECT current_setting('synchronous_commit') AS synchronous").fetchone()
    assert row == {"synchronous": "on"}


def test_a_batch_that_fails_for_weeks_keeps_its_latest_events(database: Database) -> None:
    ledger = PostgresLedger(database)
    ledger.register(STREAM)
    claim = ledger.claim(STREAM, "owner", TTL)
    failing = batch()
    ids = [f"event-{number}" for number in range(103)]

    for one in ids:
        ledger.begin(claim, failing, replace(trigger(), event_id=one))
    ledger.begin(claim, failing, replace(trigger(), event_id=ids[-1]))

    with database.transaction() as connection:
        kept = connection.execute("SELECT event_ids FROM offload_batches").fetchall()
    assert [row["event_ids"] for row in kept] == [ids[-100:]]
