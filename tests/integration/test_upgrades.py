"""Upgrades of a ledger that somebody has: from every version, beside consumers that work; and which programs fit it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.ledger import PostgresLedger
from consumer.adapters.postgres.migrations import Migration, migrate, newer, pending, require_current, shipped
from consumer.adapters.postgres.publishing import fence, record
from consumer.domain.batch import BatchStatus
from consumer.domain.errors import ConfigurationError, LedgerUnavailableError
from consumer.domain.fingerprint import EMPTY
from consumer.domain.window import BEGINNING, Window
from consumer.ports import StreamState
from consumer.settings.connections import PostgresSettings
from tests.support.ledger_states import restricted, rows_of, seed
from tests.support.ledger_values import DAY, STREAM, T0, TTL, batch, event, publication, trigger, window
from tests.support.postgres_server import PostgresServer, running_postgres
from tests.support.waiting import wait_until

NEWEST = len(shipped())
NEXT = Migration(
    version=NEWEST + 1,
    name="next",
    sql=f"-- oldest-program: {NEWEST:04}\nALTER TABLE offload_watermarks ADD COLUMN next text;".encode(),
)
CONTRACTING = Migration(
    version=NEWEST + 2, name="contracting", sql=b"ALTER TABLE offload_watermarks DROP COLUMN halt_remedy;"
)
BLOCKED = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as running:
        yield running


@pytest.fixture(scope="module")
def old(server: PostgresServer) -> Sequence[str]:
    """A database for each version that a ledger ever had, with rows of running streams, oldest first."""
    made: list[str] = []
    bare = server.create_database()
    for version in range(1, NEWEST + 1):
        with opened(bare) as database:
            migrate(database, shipped()[:version])
        made.append(copied(server, bare))
        seed(made[-1], version)
    return made


def copied(server: PostgresServer, dsn: str) -> str:
    """A database like the one of a DSN, to which nobody is connected."""
    names = [sql.Identifier(one.rsplit("/", 1)[1]) for one in (server.create_database(), dsn)]
    with psycopg.connect(server.dsn(database="postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {}").format(names[0]))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
    return server.dsn(database=names[0].as_string().strip('"'))


@pytest.fixture(scope="module")
def newest(server: PostgresServer) -> str:
    """A ledger of the newest version with rows of running streams, to be copied."""
    found = server.create_database()
    with opened(found) as database:
        migrate(database)
    seed(found, NEWEST)
    return found


@pytest.fixture
def dsn(server: PostgresServer, newest: str) -> str:
    """A ledger of the newest version with rows of running streams."""
    return copied(server, newest)


@pytest.fixture
def database(dsn: str) -> Iterator[Database]:
    with opened(dsn) as made:
        yield made


def opened(dsn: str) -> Database:
    return Database(PostgresSettings(dsn=SecretStr(dsn)))


def publish_next(database: Database) -> None:
    """Go on where the ledger's stream stopped: claim it, and publish a batch with an event for a dependant."""
    ledger = PostgresLedger(database)
    claim = ledger.claim(STREAM, "me", TTL)
    planned = batch(Window(lower=T0, upper=T0 + DAY))
    ledger.begin(claim, planned, trigger())
    whole = publication(claim, planned, outbox=[event("dependant-1", "bars")])
    with database.transaction() as connection:
        fence(connection, whole)
        record(connection, whole, 4711)


# ------------------------------------------------------------------------------- from every version


@pytest.mark.parametrize("version", range(1, NEWEST + 1))
def test_a_ledger_of_any_version_keeps_every_row_and_goes_on_where_it_stopped(old: Sequence[str], version: int) -> None:
    dsn = old[version - 1]
    before = rows_of(dsn)
    assert sum(map(len, before.values())) >= 8
    with opened(dsn) as database:
        assert list(migrate(database)) == list(shipped()[version:])
        assert restricted(rows_of(dsn), before) == restricted(before, before)

        publish_next(database)

        ledger = PostgresLedger(database)
        found = ledger.read([STREAM, "sick"])
        assert (found[STREAM].watermark, found[STREAM].epoch, found[STREAM].start) == (T0 + DAY, 4, BEGINNING)
        assert (found["sick"].state, found["sick"].halt_reason) == (StreamState.HALTED, "why")
        done = [one for one in ledger.batches(STREAM, 10) if one.status is BatchStatus.PUBLISHED]
        assert {one.window for one in done} == {window(), Window(lower=T0, upper=T0 + DAY)}
        contents = ledger.windows(STREAM, Window(lower=BEGINNING, upper=T0 + DAY))
        assert sum((one.cold for one in contents), EMPTY).rows == 20


# ------------------------------------------------------------------------------------------- online


def test_consumers_work_while_a_migration_waits_for_one_of_them(database: Database, dsn: str) -> None:
    # On a failure the slow transaction ends first, or the migration would be waited for.
    with ThreadPoolExecutor(1) as pool, psycopg.connect(dsn) as slow:
        slow.execute("SELECT FROM offload_watermarks WHERE stream = 'sick' FOR UPDATE")
        migrating = pool.submit(migrate, database, [*shipped(), NEXT])
        with psycopg.connect(dsn, autocommit=True) as looking:
            wait_until(lambda: looking.execute(BLOCKED).fetchall(), seconds=60, what="the migration to wait")
        # Each of these statements gives up after a few seconds, were it to stand in a queue behind the migration.
        with opened(dsn) as another:
            publish_next(another)
            assert PostgresLedger(another).read([STREAM])[STREAM].watermark == T0 + DAY
        assert not migrating.done()
        slow.execute("UPDATE offload_watermarks SET updated = now() WHERE stream = 'sick'")
        slow.commit()

        assert migrating.result() == [NEXT]
    with opened(dsn) as another:
        assert PostgresLedger(another).read([STREAM])[STREAM].last_batch_id is not None


def test_a_migration_that_gets_no_lock_gives_up_and_has_changed_nothing(database: Database, dsn: str) -> None:
    before = rows_of(dsn)
    with psycopg.connect(dsn) as slow:
        slow.execute("SELECT FROM offload_watermarks FOR UPDATE")
        with pytest.raises(LedgerUnavailableError, match=r"_next\.sql did not get its locks.*icehaul migrate"):
            migrate(database, [*shipped(), NEXT], patience=timedelta())

    assert rows_of(dsn) == before
    assert newer(database) == []
    assert migrate(database, [*shipped(), NEXT]) == [NEXT]


# ------------------------------------------------------------------------- programs and newer ledgers


def test_a_program_works_with_a_newer_ledger_that_says_so(database: Database) -> None:
    migrate(database, [*shipped(), NEXT])

    require_current(database)
    assert list(pending(database)) == []
    assert list(migrate(database)) == []
    assert newer(database) == [f"{NEXT}"]
    publish_next(database)


def test_a_program_that_a_newer_ledger_has_left_behind_is_refused_by_name(database: Database) -> None:
    both = [*shipped(), NEXT, CONTRACTING]
    migrate(database, both)

    told = rf"{CONTRACTING.version:04} \(contracting\).*{CONTRACTING.version:04} or a newer.*knows {NEWEST:04}"
    for ask in (require_current, pending, migrate, newer):
        with pytest.raises(ConfigurationError, match=rf"{told}.*newer icehaul"):
            ask(database)
    require_current(database, both)


def test_a_program_that_is_newer_than_the_ledger_says_what_to_run_first(database: Database) -> None:
    with pytest.raises(ConfigurationError, match=r"lacks \d{4}_next\.sql.*run `icehaul migrate`"):
        require_current(database, [*shipped(), NEXT])


def test_a_ledger_that_a_program_without_the_question_has_migrated_is_asked_all_the_same(
    database: Database, dsn: str
) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("ALTER TABLE schema_migrations DROP COLUMN oldest_program")

    require_current(database)
    assert list(migrate(database)) == []
    assert migrate(database, [*shipped(), NEXT]) == [NEXT]
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT version, oldest_program FROM schema_migrations WHERE oldest_program > 0")
        assert rows.fetchall() == [(NEXT.version, NEWEST)]
