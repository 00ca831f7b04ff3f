"""The ledger behind connections that break, servers that go away, and owners that freeze."""

from __future__ import annotations

import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import psycopg
import pytest
from pydantic import SecretStr

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.ledger import PostgresLedger
from consumer.adapters.postgres.migrations import migrate
from consumer.adapters.postgres.publishing import fence, record
from consumer.adapters.postgres.watchdog import Watchdog
from consumer.domain.batch import Batch, BatchStatus
from consumer.domain.errors import (
    AccessDeniedError,
    ConfigurationError,
    DivergenceError,
    FencedError,
    IcehaulError,
    LeaseHeldError,
    LedgerUnavailableError,
    UnknownCommitError,
)
from consumer.domain.window import BEGINNING, Window
from consumer.ports import Claim
from consumer.settings.connections import PostgresSettings
from tests.support.ledger_values import DAY, STREAM, T0, TTL, batch, publication, trigger
from tests.support.postgres_proxy import CommitFault, PostgresProxy
from tests.support.postgres_server import PostgresServer, running_postgres

SNAPSHOT = 4_711
LEASE = timedelta(seconds=2)
PATIENCE_S = 60.0
PASSWORD = "hunter2-and-more"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as running:
        yield running


@pytest.fixture
def dsn(server: PostgresServer) -> str:
    fresh = server.create_database()
    with Database(PostgresSettings(dsn=SecretStr(fresh))) as database:
        migrate(database)
    return fresh


@pytest.fixture
def proxy(server: PostgresServer) -> Iterator[PostgresProxy]:
    with PostgresProxy(server.endpoint.port) as running:
        yield running


def settings(dsn: str, *, pool_size: int = 8) -> PostgresSettings:
    return PostgresSettings(
        dsn=SecretStr(dsn), pool_size=pool_size, connect_timeout_seconds=2, lock_timeout_seconds=0.3
    )


@pytest.fixture
def database(server: PostgresServer, dsn: str, proxy: PostgresProxy) -> Iterator[Database]:
    """Through the proxy, with a short lease."""
    through = server.dsn(database=dsn.rsplit("/", 1)[1], port=proxy.port)
    with Database(settings(through), lease=LEASE) as opened:
        yield opened


@pytest.fixture
def ledger(database: Database) -> PostgresLedger:
    ledger = PostgresLedger(database)
    ledger.register(STREAM)
    return ledger


@pytest.fixture
def direct(dsn: str) -> Iterator[PostgresLedger]:
    """Past the proxy: what the next owner sees."""
    with Database(settings(dsn), lease=LEASE) as opened:
        yield PostgresLedger(opened)


def publish(database: Database, claim: Claim, planned: Batch) -> None:
    with database.transaction() as connection:
        work = publication(claim, planned)
        fence(connection, work)
        record(connection, work, SNAPSHOT)


def begun(ledger: PostgresLedger) -> tuple[Claim, Batch]:
    claim, planned = ledger.claim(STREAM, "first", TTL), batch()
    ledger.begin(claim, planned, trigger())
    return claim, planned


def status(ledger: PostgresLedger, planned: Batch) -> BatchStatus:
    found = ledger.resolve(STREAM, planned.id)
    assert found is not None
    return found.status


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def wait_until_blocked(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        query = b"SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        wait_for(lambda: bool(connection.execute(query).fetchall()))


# ----------------------------------------------------------------------------- outcomes of a publish


def test_a_connection_that_breaks_before_commit_has_not_landed(
    database: Database, ledger: PostgresLedger, proxy: PostgresProxy
) -> None:
    claim, planned = begun(ledger)
    work = publication(claim, planned)

    def break_between() -> None:
        with database.transaction() as connection:
            fence(connection, work)
            proxy.cut()
            record(connection, work, SNAPSHOT)

    with pytest.raises(LedgerUnavailableError):
        break_between()

    assert status(ledger, planned) is BatchStatus.WRITING
    publish(database, claim, planned)
    assert ledger.read([STREAM])[STREAM].watermark == T0


def test_a_commit_that_landed_without_a_reply_is_unknown_and_read_back_as_published(
    database: Database, ledger: PostgresLedger, proxy: PostgresProxy
) -> None:
    claim, planned = begun(ledger)
    proxy.strike(CommitFault.APPLIED)

    with pytest.raises(UnknownCommitError):
        publish(database, claim, planned)

    assert status(ledger, planned) is BatchStatus.PUBLISHED
    with pytest.raises(UnknownCommitError, match="published already"):
        publish(database, claim, planned)


@pytest.mark.parametrize("fault", [CommitFault.POOLER_LEAVES, CommitFault.POOLER_STAYS])
def test_a_pooler_that_reports_a_lost_server_tells_nothing_about_the_commit(
    database: Database, ledger: PostgresLedger, proxy: PostgresProxy, fault: CommitFault
) -> None:
    claim, planned = begun(ledger)
    proxy.strike(fault)

    with pytest.raises(UnknownCommitError):
        publish(database, claim, planned)

    assert status(ledger, planned) is BatchStatus.PUBLISHED


@pytest.mark.parametrize("state", ["40001", "40P01", "23514"])
def test_a_commit_that_the_server_refuses_has_not_landed(
    database: Database, ledger: PostgresLedger, dsn: str, state: str
) -> None:
    claim, planned = begun(ledger)
    refuse_next_commit(dsn, state)

    with pytest.raises((LedgerUnavailableError, DivergenceError)):
        publish(database, claim, planned)

    assert status(ledger, planned) is BatchStatus.WRITING
    publish(database, claim, planned)
    assert status(ledger, planned) is BatchStatus.PUBLISHED


@pytest.mark.parametrize("state", ["40003", "08007", "58030", "P0001"])
def test_a_refusal_that_does_not_say_what_became_of_the_commit_is_read_back(
    database: Database, ledger: PostgresLedger, dsn: str, state: str
) -> None:
    claim, planned = begun(ledger)
    refuse_next_commit(dsn, state)

    with pytest.raises(UnknownCommitError, match="refused"):
        publish(database, claim, planned)

    assert status(ledger, planned) is BatchStatus.WRITING


def refuse_next_commit(dsn: str, state: str) -> None:
    """Let the next transaction that touches a watermark fail at its COMMIT, and those after it pass."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        # A sequence remembers across the rollback that the one failure has happened.
        connection.execute(
            f"""
            CREATE SEQUENCE refusals;
            CREATE FUNCTION refuse_once() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF nextval('refusals') = 1 THEN
                    RAISE EXCEPTION 'refused' USING ERRCODE = '{state}';
                END IF;
                RETURN NULL;
            END $$;
            CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON offload_watermarks DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION refuse_once();
            """.encode()
        )


def test_a_commit_that_got_lost_is_unknown_and_read_back_as_absent(
    database: Database, ledger: PostgresLedger, proxy: PostgresProxy
) -> None:
    claim, planned = begun(ledger)
    proxy.strike(CommitFault.LOST)

    with pytest.raises(UnknownCommitError):
        publish(database, claim, planned)

    assert status(ledger, planned) is BatchStatus.WRITING
    publish(database, claim, planned)
    assert status(ledger, planned) is BatchStatus.PUBLISHED


def test_the_read_back_waits_for_a_commit_that_is_still_on_its_way(
    database: Database, ledger: PostgresLedger, proxy: PostgresProxy, dsn: str
) -> None:
    claim, planned = begun(ledger)
    proxy.strike(CommitFault.LATE)
    with pytest.raises(UnknownCommitError):
        publish(database, claim, planned)

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(status, ledger, planned)
        wait_until_blocked(dsn)
        assert not reading.done()
        proxy.deliver()
        assert reading.result(PATIENCE_S) is BatchStatus.PUBLISHED


def test_a_commit_that_never_arrives_is_ended_by_the_server_and_read_back_as_absent(
    database: Database, ledger: PostgresLedger, proxy: PostgresProxy
) -> None:
    claim, planned = begun(ledger)
    proxy.strike(CommitFault.LATE)
    with pytest.raises(UnknownCommitError):
        publish(database, claim, planned)

    assert status(ledger, planned) is BatchStatus.WRITING
    with suppress(OSError):
        proxy.deliver()
    assert status(ledger, planned) is BatchStatus.WRITING


@pytest.mark.parametrize(("fault", "watermark"), [(CommitFault.APPLIED, T0), (CommitFault.LOST, BEGINNING)])
def test_an_advance_over_an_empty_window_may_be_unknown_too(
    ledger: PostgresLedger, proxy: PostgresProxy, fault: CommitFault, watermark: object
) -> None:
    claim = ledger.claim(STREAM, "first", TTL)
    proxy.strike(fault)

    with pytest.raises(UnknownCommitError):
        ledger.advance(claim, batch(rows=0), trigger(), [])

    ledger.resolve(STREAM, batch(rows=0).id)
    assert ledger.read([STREAM])[STREAM].watermark == watermark


@pytest.mark.parametrize("fault", [CommitFault.APPLIED, CommitFault.LOST])
def test_what_may_be_repeated_is_never_unknown(
    ledger: PostgresLedger, proxy: PostgresProxy, fault: CommitFault
) -> None:
    claim = ledger.claim(STREAM, "first", TTL)

    proxy.strike(fault)
    with pytest.raises(LedgerUnavailableError):
        ledger.begin(claim, batch(), trigger())
    ledger.begin(claim, batch(), trigger())

    assert status(ledger, batch()) is BatchStatus.WRITING


@pytest.mark.parametrize(("fault", "epoch"), [(CommitFault.APPLIED, 2), (CommitFault.LOST, 1)])
def test_a_transaction_in_one_message_is_sent_once_more_when_its_connection_breaks(
    ledger: PostgresLedger, proxy: PostgresProxy, fault: CommitFault, epoch: int
) -> None:
    proxy.strike(fault)

    claim = ledger.claim(STREAM, "first", TTL)

    assert proxy.struck.is_set()
    assert claim.epoch == epoch
    ledger.renew(claim, TTL)


def test_an_error_that_the_block_swallowed_is_not_taken_for_a_commit(
    database: Database, ledger: PostgresLedger
) -> None:
    def swallow() -> None:
        with database.transaction() as connection:
            connection.execute(b"UPDATE offload_watermarks SET watermark = '2026-01-01Z'")
            with suppress(psycopg.errors.DivisionByZero):
                connection.execute(b"SELECT 1/0")

    with pytest.raises(LedgerUnavailableError, match="swallowed"):
        swallow()

    assert ledger.read([STREAM])[STREAM].watermark == BEGINNING


# ----------------------------------------------------------------------------- servers that go away


def test_a_pool_of_stale_connections_survives_a_restart_of_the_server(
    server: PostgresServer, database: Database, ledger: PostgresLedger
) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ledger.read([STREAM]), range(16)))

    server.restart()

    assert STREAM in ledger.read([STREAM])


def test_a_server_that_shuts_down_in_mid_transaction_leaves_nothing(
    server: PostgresServer, database: Database, ledger: PostgresLedger
) -> None:
    claim, planned = begun(ledger)
    work = publication(claim, planned)

    def shut_down_between() -> None:
        with database.transaction() as connection:
            fence(connection, work)
            record(connection, work, SNAPSHOT)
            server.restart()

    with pytest.raises((LedgerUnavailableError, UnknownCommitError)):
        shut_down_between()

    assert status(ledger, planned) is BatchStatus.WRITING


def test_a_server_that_is_away_is_reported_in_time_and_used_again_when_it_is_back(
    ledger: PostgresLedger, proxy: PostgresProxy
) -> None:
    proxy.stop()
    started = time.monotonic()

    with pytest.raises(LedgerUnavailableError, match=f"127.0.0.1:{proxy.port}"):
        ledger.read([STREAM])

    assert time.monotonic() - started < PATIENCE_S
    proxy.accept()
    assert STREAM in ledger.read([STREAM])


def test_a_network_that_falls_silent_ends_the_wait_before_the_lease_does_harm(
    database: Database, ledger: PostgresLedger, proxy: PostgresProxy
) -> None:
    def fall_silent() -> None:
        with database.transaction() as connection:
            proxy.silence()
            connection.execute(b"SELECT 1")

    started = time.monotonic()
    with pytest.raises(LedgerUnavailableError):
        fall_silent()

    assert time.monotonic() - started < LEASE.total_seconds() * 3
    proxy.speak()
    proxy.cut()
    assert STREAM in ledger.read([STREAM])


def test_idle_connections_that_fell_silent_are_found_before_they_are_used(
    ledger: PostgresLedger, proxy: PostgresProxy
) -> None:
    ledger.read([STREAM])
    proxy.silence()
    with pytest.raises(LedgerUnavailableError):
        ledger.read([STREAM])
    proxy.speak()
    proxy.cut()

    assert STREAM in ledger.read([STREAM])


def test_a_standby_is_not_taken_for_the_primary(dsn: str) -> None:
    name = dsn.rsplit("/", 1)[1]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())

    with Database(settings(dsn)) as database, pytest.raises(LedgerUnavailableError, match="read-only"):
        PostgresLedger(database).read([STREAM])


# ----------------------------------------------------------------------------- wrong settings


def refusal(dsn: str) -> IcehaulError:
    with Database(settings(dsn)) as database, pytest.raises(IcehaulError) as refused:
        PostgresLedger(database).read([STREAM])
    text = "".join(traceback.format_exception(refused.value))
    assert PASSWORD not in text
    return refused.value


def test_a_wrong_password_names_the_user_and_the_remedy(server: PostgresServer, dsn: str) -> None:
    error = refusal(server.dsn(database=dsn.rsplit("/", 1)[1], password=PASSWORD))

    assert isinstance(error, AccessDeniedError)
    assert "'icehaul'" in error.message
    assert "postgres.dsn" in error.remedy


def test_a_password_that_went_wrong_after_the_pool_was_opened_is_named_too(
    server: PostgresServer, dsn: str, proxy: PostgresProxy
) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(f"CREATE ROLE rotated LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_read_all_data".encode())
    name = dsn.rsplit("/", 1)[1]
    mine = server.dsn(database=name, user="rotated", password=PASSWORD, port=proxy.port)
    with Database(settings(mine)) as database:
        ledger = PostgresLedger(database)
        assert ledger.read([STREAM]) == {}
        with psycopg.connect(dsn) as connection:
            connection.execute(b"ALTER ROLE rotated PASSWORD 'another'")
        proxy.cut()

        with pytest.raises(AccessDeniedError, match="'rotated'"):
            ledger.read([STREAM])


def test_an_unknown_user_is_refused_as_a_wrong_password_is(server: PostgresServer, dsn: str) -> None:
    error = refusal(server.dsn(database=dsn.rsplit("/", 1)[1], user="nobody_known", password=PASSWORD))

    assert isinstance(error, AccessDeniedError)
    assert "'nobody_known'" in error.message


def test_a_missing_grant_names_the_table_and_the_statement_that_gives_it(server: PostgresServer, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(f"CREATE ROLE ungranted LOGIN PASSWORD '{PASSWORD}'".encode())

    error = refusal(server.dsn(database=dsn.rsplit("/", 1)[1], user="ungranted", password=PASSWORD))

    assert isinstance(error, AccessDeniedError)
    assert "offload_watermarks" in error.message
    assert "GRANT SELECT" in error.remedy


def test_a_missing_database_is_an_error_of_configuration(server: PostgresServer) -> None:
    error = refusal(server.dsn(database="no_such_database"))

    assert isinstance(error, ConfigurationError)
    assert '"no_such_database"' in error.message


def test_a_database_without_the_ledgers_tables_asks_for_the_migration(server: PostgresServer) -> None:
    error = refusal(server.create_database())

    assert isinstance(error, ConfigurationError)
    assert "icehaul migrate" in error.remedy


def test_an_unreachable_server_is_a_passing_error_that_names_it(server: PostgresServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    error = refusal(server.dsn(database="icehaul", port=port, password=PASSWORD))

    assert isinstance(error, LedgerUnavailableError)
    assert f"127.0.0.1:{port}" in error.message


@pytest.mark.parametrize("dsn", [f"postgresql//icehaul:{PASSWORD}@h/d", f"postgresql://u:{PASSWORD}%zz@h/d"])
def test_a_malformed_dsn_is_refused_without_being_quoted(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match=r"postgres\.dsn") as refused:
        Database(settings(dsn))

    assert PASSWORD not in "".join(traceback.format_exception(refused.value))


# ----------------------------------------------------------------------------- owners that freeze


def frozen_owner(
    database: Database, claim: Claim, planned: Batch, thaw: threading.Event, ready: threading.Event
) -> None:
    with database.transaction() as connection:
        work = publication(claim, planned)
        fence(connection, work)
        record(connection, work, SNAPSHOT)
        ready.set()
        assert thaw.wait(PATIENCE_S)


def test_a_claim_does_not_wait_for_the_transaction_of_another_owner(
    database: Database, ledger: PostgresLedger, direct: PostgresLedger
) -> None:
    claim = ledger.claim(STREAM, "first", timedelta(milliseconds=1))
    with database.transaction() as connection:
        fence(connection, publication(claim, batch()))
        started = time.monotonic()

        with pytest.raises(LeaseHeldError, match="locked"):
            direct.claim(STREAM, "second", TTL)
        assert time.monotonic() - started < LEASE.total_seconds() / 2


def test_other_work_on_a_locked_row_is_tried_again_later(
    database: Database, ledger: PostgresLedger, direct: PostgresLedger
) -> None:
    claim, planned = begun(ledger)
    with database.transaction() as connection:
        fence(connection, publication(claim, planned))

        with pytest.raises(LedgerUnavailableError, match="lock timeout"):
            direct.renew(claim, TTL)


def test_an_owner_that_freezes_inside_the_publish_loses_its_transaction_before_its_lease(
    database: Database, ledger: PostgresLedger, direct: PostgresLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A process that is frozen has no thread that ends its connection: the server has to.
    monkeypatch.setattr(Watchdog, "bite", lambda _: None)
    claim = ledger.claim(STREAM, "first", LEASE)
    planned = batch()
    ledger.begin(claim, planned, trigger())
    thaw, ready = threading.Event(), threading.Event()

    with ThreadPoolExecutor(1) as pool:
        frozen: Future[None] = pool.submit(frozen_owner, database, claim, planned, thaw, ready)
        assert ready.wait(PATIENCE_S)
        started = time.monotonic()
        newer = take_over(direct)
        waited = time.monotonic() - started
        thaw.set()
        with pytest.raises((LedgerUnavailableError, UnknownCommitError)):
            frozen.result(PATIENCE_S)

    assert waited < LEASE.total_seconds() * 2
    assert newer.epoch == claim.epoch + 1
    assert direct.read([STREAM])[STREAM].watermark == BEGINNING
    with pytest.raises(FencedError):
        publish(database, claim, planned)


def take_over(ledger: PostgresLedger) -> Claim:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ledger.claim(STREAM, "second", TTL)
        except LeaseHeldError:
            assert time.monotonic() < deadline, "the lease was never free"
            time.sleep(0.02)


# ----------------------------------------------------------------------------- contention


def test_a_deadlock_is_a_passing_error_for_one_and_no_error_for_the_other(
    database: Database, ledger: PostgresLedger
) -> None:
    ledger.register("other")
    both_locked = threading.Barrier(2)

    def lock_both(first: str, second: str) -> str:
        lock = b"SELECT FROM offload_watermarks WHERE stream = %s FOR UPDATE"
        try:
            with database.transaction(lock_timeout=timedelta(seconds=30), limit=timedelta(seconds=30)) as connection:
                connection.execute(lock, (first,))
                both_locked.wait(PATIENCE_S)
                connection.execute(lock, (second,))
        except LedgerUnavailableError as error:
            return "deadlock" if "deadlock" in error.message else error.message
        return "done"

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lock_both, (STREAM, "other"), ("other", STREAM)))

    assert sorted(outcomes) == ["deadlock", "done"]


def test_a_pool_whose_connections_are_all_in_use_says_so(dsn: str) -> None:
    with Database(settings(dsn, pool_size=1)) as database:
        ledger = PostgresLedger(database)
        with database.transaction(), pytest.raises(LedgerUnavailableError, match=r"all 1 connections.*pool_size"):
            ledger.read([STREAM])

        assert ledger.read([STREAM]) == {}


# ----------------------------------------------------------------------------- hands in the ledger


def edit(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(statement.encode())


def test_a_watermark_that_was_edited_back_is_found_before_anything_is_published(
    database: Database, ledger: PostgresLedger, dsn: str
) -> None:
    claim, planned = begun(ledger)
    publish(database, claim, planned)
    edit(dsn, "UPDATE offload_watermarks SET last_upper = NULL, watermark = '1900-01-01Z'")

    with pytest.raises(DivergenceError, match="is published, though the watermark is only"):
        publish(database, claim, planned)
    with pytest.raises(DivergenceError, match="is published, though"):
        ledger.begin(claim, planned, trigger())


def test_a_watermark_that_was_edited_into_a_published_window_is_found_by_the_overlap(
    database: Database, ledger: PostgresLedger, dsn: str
) -> None:
    claim, planned = begun(ledger)
    publish(database, claim, planned)
    edit(dsn, "UPDATE offload_watermarks SET last_upper = NULL, watermark = '2026-03-01Z'")
    inside = batch(Window(lower=T0 - DAY, upper=T0 + DAY))

    with pytest.raises(DivergenceError, match="overlaps"):
        publish(database, claim, inside)


def test_a_row_that_was_deleted_is_found_by_whoever_works_on_the_stream(
    database: Database, ledger: PostgresLedger, dsn: str
) -> None:
    claim, planned = begun(ledger)
    edit(dsn, "DELETE FROM offload_batches")
    edit(dsn, "DELETE FROM offload_watermarks")

    attempts: list[Callable[[], None]] = [
        lambda: ledger.renew(claim, TTL),
        lambda: ledger.begin(claim, planned, trigger()),
        lambda: publish(database, claim, planned),
    ]
    for attempt in attempts:
        with pytest.raises(DivergenceError, match=f"{STREAM}.*no row"):
            attempt()


def test_an_epoch_that_was_reset_with_its_row_does_not_let_a_zombie_in(
    database: Database, ledger: PostgresLedger, dsn: str
) -> None:
    claim, planned = begun(ledger)
    edit(dsn, "DELETE FROM offload_batches")
    edit(dsn, "DELETE FROM offload_watermarks")
    ledger.register(STREAM)
    assert ledger.claim(STREAM, "second", TTL).epoch == claim.epoch

    with pytest.raises(FencedError, match="second"):
        publish(database, claim, planned)
