"""What the suites of the hot tier and of the cold tier are held against."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from consumer.embedded.stack import EmbeddedStack
from tests.support.cold_tier import ColdTier, MemoryColdTier, iceberg_cold_tier
from tests.support.hot_tables import ClickHouseHotTable, ClickHouseServer, HotTable, MemoryHotTable, clickhouse_server


@pytest.fixture(scope="module")
def server(stack: EmbeddedStack) -> Iterator[ClickHouseServer]:
    """A database for the tables of a module."""
    with clickhouse_server(stack, f"t_{uuid.uuid4().hex[:12]}") as connected:
        yield connected


@pytest.fixture(params=["memory", "clickhouse"])
def hot(request: pytest.FixtureRequest, unique_name: str) -> HotTable:
    """A source table of the test's own."""
    if request.param == "memory":
        return MemoryHotTable()
    return ClickHouseHotTable(request.getfixturevalue("server"), unique_name)


@pytest.fixture(params=["memory", "iceberg"])
def tier(request: pytest.FixtureRequest) -> Iterator[ColdTier]:
    """A cold tier in memory, and the real one."""
    if request.param == "memory":
        yield MemoryColdTier()
        return
    stack: EmbeddedStack = request.getfixturevalue("stack")
    with iceberg_cold_tier(stack.endpoints) as real:
        yield real
