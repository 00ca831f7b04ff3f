"""Cold tiers whose catalog lies outside the ledger's database; the tests of a module share databases, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import uuid4

import psycopg
from psycopg import sql
from pydantic import SecretStr

from consumer.domain.stream import TableName
from consumer.embedded.endpoints import Endpoints
from consumer.settings.connections import CatalogSettings
from tests.support.cold_tier import STREAM, IcebergColdTier, empty_database, new_database, store_of


@dataclass(frozen=True, slots=True)
class TierDatabases:
    """A ledger, and a database for the catalog's tables."""

    endpoints: Endpoints
    ledger: str
    tables: str


@contextmanager
def tier_databases(endpoints: Endpoints) -> Iterator[TierDatabases]:
    """Two databases, made once: to make them for each test would take longer than most tests."""
    name = f"cold_{uuid4().hex[:12]}"
    try:
        yield TierDatabases(endpoints, new_database(endpoints, name), empty_database(endpoints, f"{name}_tables"))
    finally:
        with psycopg.connect(endpoints.postgres.dsn, autocommit=True) as connection:
            for database in (name, f"{name}_tables"):
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))


def rest_settings(endpoints: Endpoints) -> CatalogSettings:
    """The REST catalog inside the stack's object store."""
    store, rest = endpoints.store, endpoints.rest_catalog
    return CatalogSettings(
        type="rest",
        uri=rest.uri,
        warehouse=rest.warehouse,
        credential=SecretStr(f"{store.access_key}:{store.secret_key}"),
    )


@contextmanager
def two_step_tier(databases: TierDatabases, placement: str) -> Iterator[IcebergColdTier]:
    """A cold tier with empty databases, its catalog in another database (``elsewhere``) or behind REST (``rest``).

    All tests share the REST catalog's warehouse, so that the stream's table has a namespace of its own.
    """
    name = f"cold_{uuid4().hex[:12]}"
    endpoints = databases.endpoints
    settings = rest_settings(endpoints)
    if placement == "elsewhere":
        settings = CatalogSettings(dsn=SecretStr(databases.tables))
    tier = IcebergColdTier(dsn=databases.ledger, store=store_of(endpoints, name), settings=settings)
    tier.stream = replace(STREAM, target=TableName(database=name, table="trades"))
    tier.execute("TRUNCATE offload_watermarks, offload_outbox, offload_emissions CASCADE")
    tier.catalog.make_tables()
    try:
        yield tier
    finally:
        tier.close()
