"""The ledger's migrations: all or nothing, by many at once, never backwards, and never changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from pydantic import SecretStr
from pyiceberg.catalog.sql import SqlCatalog, SqlCatalogBaseTable
from sqlalchemy import create_engine
from sqlalchemy.schema import CreateTable

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.migrations import Migration, migrate, pending, require_current, shipped
from consumer.domain.errors import AccessDeniedError, ConfigurationError
from consumer.settings.connections import PostgresSettings
from tests.support.postgres_server import PostgresServer, running_postgres

MIGRATORS = 6


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as running:
        yield running


@pytest.fixture
def dsn(server: PostgresServer) -> str:
    return server.create_database()


@pytest.fixture
def database(dsn: str) -> Iterator[Database]:
    with Database(PostgresSettings(dsn=SecretStr(dsn))) as opened:
        yield opened


def tables(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {row[0] for row in rows}


def columns(dsn: str, table: str) -> list[tuple[str, str, int | None]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT column_name, data_type, character_maximum_length FROM information_schema.columns"
            " WHERE table_name = %s ORDER BY ordinal_position",
            (table,),
        ).fetchall()


def wait_until_blocked(dsn: str) -> None:
    deadline = time.monotonic() + 10
    with psycopg.connect(dsn, autocommit=True) as connection:
        while not connection.execute("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchall():
            assert time.monotonic() < deadline, "nobody waits for a lock"
            time.sleep(0.02)


def test_an_empty_database_is_brought_to_the_last_version_once(database: Database, dsn: str) -> None:
    assert pending(database) == shipped()
    with pytest.raises(ConfigurationError, match=r"lacks 0001_ledger\.sql.*icehaul migrate"):
        require_current(database)

    assert migrate(database) == shipped()

    require_current(database)
    assert migrate(database) == []
    assert {"offload_watermarks", "offload_outbox", "iceberg_tables", "schema_migrations"} <= tables(dsn)


def test_many_migrators_at_once_apply_each_file_once(dsn: str) -> None:
    databases = [Database(PostgresSettings(dsn=SecretStr(dsn))) for _ in range(MIGRATORS)]
    try:
        with ThreadPoolExecutor(MIGRATORS) as pool:
            applied = list(pool.map(migrate, databases))
    finally:
        for database in databases:
            database.close()

    assert sorted(len(each) for each in applied) == [0] * (MIGRATORS - 1) + [len(shipped())]


def test_a_migrator_is_not_disturbed_by_an_iceberg_client_that_creates_the_catalog_meanwhile(
    database: Database, dsn: str
) -> None:
    statement = next(one.sql for one in shipped() if one.name == "iceberg_catalog")
    with psycopg.connect(dsn) as client, ThreadPoolExecutor(1) as pool:
        client.execute(statement)
        migrating = pool.submit(migrate, database)
        wait_until_blocked(dsn)
        client.commit()

        assert migrating.result() == shipped()
    assert migrate(database) == []


def test_iceberg_clients_that_start_at_once_find_their_tables_made(database: Database, dsn: str) -> None:
    migrate(database)
    uri = dsn.replace("postgresql://", "postgresql+psycopg://")

    def namespaces(_: int) -> list[tuple[str, ...]]:
        catalog = SqlCatalog("icehaul", uri=uri, warehouse="file:///nowhere", init_catalog_tables="false")
        try:
            return catalog.list_namespaces()
        finally:
            catalog.close()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(namespaces, range(4))) == [[]] * 4


def test_the_catalog_tables_are_those_that_pyiceberg_would_create(database: Database, dsn: str) -> None:
    migrate(database)
    ours = {name: columns(dsn, name) for name in ("iceberg_tables", "iceberg_namespace_properties")}

    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE iceberg_tables, iceberg_namespace_properties")
        engine = create_engine("postgresql+psycopg://")
        for table in SqlCatalogBaseTable.metadata.sorted_tables:
            connection.execute(str(CreateTable(table).compile(engine)).encode())
        engine.dispose()

    assert {name: columns(dsn, name) for name in ours} == ours


def test_a_catalog_of_the_old_version_is_lifted_and_keeps_its_tables(database: Database, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "CREATE TABLE iceberg_tables (catalog_name varchar(255) NOT NULL, table_namespace varchar(255) NOT NULL,"
            " table_name varchar(255) NOT NULL, metadata_location varchar(1000),"
            " previous_metadata_location varchar(1000), PRIMARY KEY (catalog_name, table_namespace, table_name))"
        )
        connection.execute("INSERT INTO iceberg_tables VALUES ('icehaul', 'bronze', 'ticks', 's3://m.json')")

    migrate(database)

    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT table_name, metadata_location, iceberg_type FROM iceberg_tables").fetchall()
    assert rows == [("ticks", "s3://m.json", None)]


def test_a_failing_migration_leaves_nothing_behind(database: Database, dsn: str) -> None:
    broken = [*shipped(), Migration(version=len(shipped()) + 1, name="broken", sql=b"CREATE TABLE half (); SELECT 1/0")]

    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(database, broken)

    assert tables(dsn) == set()
    assert migrate(database) == shipped()


def test_tables_of_somebody_else_are_left_alone(database: Database, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE offload_batches (theirs text)")

    with pytest.raises(ConfigurationError, match=r"0001_ledger\.sql.*already exists.*use another database"):
        migrate(database)

    assert tables(dsn) == {"offload_batches"}


def test_an_applied_file_that_has_changed_is_refused(database: Database) -> None:
    migrate(database)
    first, *others = shipped()
    changed = [replace(first, sql=first.sql + b"\n-- a harmless comment\n"), *others]

    with pytest.raises(ConfigurationError, match=r"0001_ledger\.sql was applied with SHA-256"):
        migrate(database, changed)
    with pytest.raises(ConfigurationError, match="SHA-256"):
        pending(database, changed)


def test_a_user_without_the_right_to_create_is_told_the_grant(server: PostgresServer, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'not-a-secret'")
    name = dsn.rsplit("/", 1)[1]

    with (
        Database(PostgresSettings(dsn=SecretStr(server.dsn(database=name, user="reader")))) as database,
        pytest.raises(AccessDeniedError, match=r"reader.*GRANT USAGE, CREATE ON SCHEMA public TO reader") as refused,
    ):
        migrate(database)

    assert "not-a-secret" not in str(refused.value)


# --------------------------------------------------------------------------------------- constraints

PUBLISHED = (
    "INSERT INTO offload_batches (batch_id, stream, kind, lower, upper, generation, status, snapshot_id, digest,"
    " epoch, owner, ended) VALUES (gen_random_uuid(), 'ticks', 'window', '2026-03-01Z', '2026-03-02Z', 1, 'published',"
    " 1, '0123456789abcdef', 1, 'me', now())"
)
NONSENSE = {
    "watermark is no instant": "UPDATE offload_watermarks SET watermark = NULL",
    "watermark at infinity": "UPDATE offload_watermarks SET watermark = 'infinity'",
    "watermark before time": "UPDATE offload_watermarks SET watermark = '-infinity'",
    "watermark below its last rows": "UPDATE offload_watermarks SET last_upper = watermark + interval '1 day'",
    "owner without lease": "UPDATE offload_watermarks SET owner = 'me', epoch = 1",
    "endless lease": "UPDATE offload_watermarks SET owner = 'me', epoch = 1, lease_expires = 'infinity'",
    "owner without epoch": "UPDATE offload_watermarks SET owner = 'me', lease_expires = now(), epoch = 0",
    "unknown state": "UPDATE offload_watermarks SET state = 'paused'",
    "halted without reason": "UPDATE offload_watermarks SET state = 'halted'",
    "halted without remedy": "UPDATE offload_watermarks SET state = 'halted', halt_reason = 'because'",
    "active with a reason": "UPDATE offload_watermarks SET halt_reason = 'because', halt_remedy = 'so'",
    "half bound": "UPDATE offload_watermarks SET source_uuid = gen_random_uuid()",
    "stream with a quote": "INSERT INTO offload_watermarks (stream) VALUES ('a''; DROP TABLE b')",
    "deleted under its batches": "DELETE FROM offload_watermarks",
    "reversed window": "UPDATE offload_batches SET lower = upper, upper = lower",
    "unknown status": "UPDATE offload_batches SET status = 'done'",
    "published without snapshot": "UPDATE offload_batches SET snapshot_id = NULL",
    "published without digest": "UPDATE offload_batches SET digest = NULL",
    "published without end": "UPDATE offload_batches SET ended = NULL",
    "digest that is none": "UPDATE offload_batches SET digest = 'abc'",
    "negative rows": "UPDATE offload_batches SET rows = -1",
    "failed without error": "UPDATE offload_batches SET status = 'failed', snapshot_id = NULL",
    "empty with rows": "UPDATE offload_batches SET status = 'empty', snapshot_id = NULL, rows = 1",
    "half coordinates": "UPDATE offload_batches SET kafka_topic = 'events'",
    "the same window twice": PUBLISHED,
}


@pytest.fixture(scope="module")
def filled(server: PostgresServer) -> str:
    dsn = server.create_database()
    with Database(PostgresSettings(dsn=SecretStr(dsn))) as database:
        migrate(database)
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO offload_watermarks (stream) VALUES ('ticks')")
        connection.execute(PUBLISHED)
    return dsn


@pytest.mark.parametrize("statement", NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense_is_refused_by_the_database_itself(filled: str, statement: str) -> None:
    with psycopg.connect(filled) as connection, pytest.raises(psycopg.IntegrityError):
        connection.execute(statement.encode())
