"""What the suites of the hot tier and of the cold tier are held against."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from consumer.embedded.stack import EmbeddedStack
from tests.support.cases import few
from tests.support.cold_tier import ColdTier, MemoryColdTier, iceberg_cold_tier
from tests.support.hot_tables import ClickHouseHotTable, ClickHouseServer, HotTable, MemoryHotTable, clickhouse_server
from tests.support.postgres_server import PostgresServer, running_postgres
from tests.support.two_step_tier import TierDatabases, tier_databases, two_step_tier


@pytest.fixture(scope="module")
def server(stack: EmbeddedStack) -> Iterator[ClickHouseServer]:
    """A database for the tables of a module."""
    with clickhouse_server(stack, f"t_{uuid.uuid4().hex[:12]}") as connected:
        yield connected


@pytest.fixture(scope="session")
def ledger_server() -> Iterator[PostgresServer]:
    """The Postgres of all ledgers; it is started here, for a fixture that modules import is one of each module."""
    with running_postgres() as running:
        yield running


@pytest.fixture(params=["memory", "clickhouse"])
def hot(request: pytest.FixtureRequest, unique_name: str) -> HotTable:
    """A source table of the test's own."""
    if request.param == "memory":
        return MemoryHotTable()
    return ClickHouseHotTable(request.getfixturevalue("server"), unique_name)


@pytest.fixture(scope="module")
def databases(stack: EmbeddedStack) -> Iterator[TierDatabases]:
    """Databases for tiers whose catalog is not in the ledger's."""
    with tier_databases(stack.endpoints) as made:
        yield made


@pytest.fixture(params=few(["memory", "iceberg", "elsewhere", "rest"], {"memory", "iceberg"}))
def tier(request: pytest.FixtureRequest) -> Iterator[ColdTier]:
    """A cold tier in memory, and the real one: its catalog in the ledger's database, in another one, behind REST."""
    if request.param == "memory":
        yield MemoryColdTier()
        return
    if request.param == "iceberg":
        stack: EmbeddedStack = request.getfixturevalue("stack")
        with iceberg_cold_tier(stack.endpoints) as real:
            yield real
        return
    with two_step_tier(request.getfixturevalue("databases"), request.param) as other:
        yield other
