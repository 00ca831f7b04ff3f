"""What the doctor says of a catalog's tables that lie in a Postgres database of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.inspection import CATALOG, lacking
from consumer.adapters.postgres.rights import Role, rights
from consumer.embedded.stack import EmbeddedStack
from consumer.settings.connections import PostgresSettings
from tests.support.two_step_tier import tier_databases, two_step_tier

PASSWORD = "of-a-reader"


@pytest.fixture
def tables(stack: EmbeddedStack) -> Iterator[str]:
    """A database with the catalog's tables and nothing of the ledger's."""
    with tier_databases(stack.endpoints) as databases, two_step_tier(databases, "elsewhere"):
        yield databases.tables


@contextmanager
def database(dsn: str) -> Iterator[Database]:
    """A database as the doctor opens it."""
    opened = Database(PostgresSettings(dsn=SecretStr(dsn)), lease=timedelta(seconds=30), application_name="doctor")
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def reader(tables: str, unique_name: str) -> Iterator[str]:
    """The DSN of a user who may read the catalog's tables only."""
    parts = urlsplit(tables)
    role = sql.Identifier(unique_name)
    with psycopg.connect(tables, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(PASSWORD)))
        connection.execute(sql.SQL("GRANT SELECT ON iceberg_tables, iceberg_namespace_properties TO {}").format(role))
        yield f"postgresql://{unique_name}:{PASSWORD}@{parts.hostname}:{parts.port}{parts.path}"
        connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


def test_the_owner_of_the_catalogs_tables_lacks_nothing(tables: str) -> None:
    with database(tables) as opened:
        assert list(lacking(opened, CATALOG)) == []


def test_of_a_reader_every_right_is_named_that_a_commit_takes_besides(reader: str) -> None:
    needed = rights(Role.COMMITTER)
    with database(reader) as opened:
        assert set(lacking(opened, CATALOG)) == {
            f"{one} on {relation}" for relation in CATALOG for one in needed[relation] - {"SELECT"}
        }


def test_a_table_that_is_not_there_is_named_as_missing(tables: str) -> None:
    with psycopg.connect(tables, autocommit=True) as connection:
        connection.execute("DROP TABLE iceberg_namespace_properties")
    with database(tables) as opened:
        assert list(lacking(opened, CATALOG)) == ["the table iceberg_namespace_properties"]
