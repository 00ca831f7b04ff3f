"""One embedded ClickHouse server for all tests of this directory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from tests.integration.embedded_clickhouse.support import (
    Server,
)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("clickhouse"))
    yield running
    running.stop()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.client() as connected:
        yield connected


@pytest.fixture
def table(client: Client, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"t_{abs(hash(request.node.nodeid))}"
    client.command(f"CREATE TABLE {name} (id UInt64, name String, at DateTime64(3)) ENGINE = MergeTree ORDER BY id")
    yield name
    client.command(f"DROP TABLE {name}")
