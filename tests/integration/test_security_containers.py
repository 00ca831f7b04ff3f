"""The files of ``ops/security/clickhouse`` on a released server, with users of its own and grants on system tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from testcontainers.community.clickhouse import ClickHouseContainer

from consumer.adapters.clickhouse.introspection import ClickHouseIntrospection
from consumer.adapters.clickhouse.inventory import ClickHouseInventory
from consumer.adapters.clickhouse.source import ClickHouseSource
from consumer.domain.errors import AccessDeniedError
from consumer.domain.stream import Stream, TableName
from consumer.settings.connections import ClickHouseSettings, StoreSettings
from tests.support.containers import clickhouse_image, needs_containers

pytestmark = [pytest.mark.container, needs_containers]

OPS = Path(__file__).resolve().parents[2] / "ops" / "security" / "clickhouse"
PASSWORD = "not-a-secret"
STREAM = Stream(
    name="trades",
    source=TableName(database="market", table="trades"),
    target=TableName(database="market", table="trades"),
    timestamp_column="ts",
)


@pytest.fixture(scope="module")
def server() -> Iterator[ClickHouseContainer]:
    container = ClickHouseContainer(clickhouse_image("24.3.18.7"), port=8123)
    container.with_env("CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT", "1")
    with container as started:
        yield started


@pytest.fixture(scope="module")
def admin(server: ClickHouseContainer) -> Iterator[Client]:
    client = clickhouse_connect.get_client(
        host=server.get_container_host_ip(),
        port=int(server.get_exposed_port(8123)),
        username=server.username,
        password=server.password,
    )
    client.command("CREATE DATABASE market")
    client.command(
        "CREATE TABLE market.trades (ts DateTime64(6, 'UTC'), id UInt64) ENGINE = MergeTree PARTITION BY toDate(ts)"
        " ORDER BY ts"
    )
    client.command("INSERT INTO market.trades VALUES ('2024-01-01 00:00:00', 1)")
    for file in (
        "reader.sql",
        "cluster.sql",
        "events.sql",
        "exporter.sql",
        "dropper.sql",
        "restorer.sql",
        "viewer.sql",
    ):
        for statement in re.sub(r"--.*", "", (OPS / file).read_text("utf-8")).split(";"):
            if statement.strip():
                client.command(statement)
    client.command(f"CREATE USER icehaul IDENTIFIED WITH sha256_password BY '{PASSWORD}' DEFAULT ROLE icehaul_reader")
    yield client
    client.close()


@pytest.fixture
def settings(server: ClickHouseContainer, admin: Client) -> ClickHouseSettings:
    return ClickHouseSettings(
        host=server.get_container_host_ip(),
        port=int(server.get_exposed_port(8123)),
        user="icehaul",
        password=PASSWORD,
    )


def test_a_reader_reads_tables_and_system_tables_and_no_more(settings: ClickHouseSettings) -> None:
    with (
        closing(ClickHouseSource(settings, StoreSettings())) as source,
        closing(ClickHouseInventory(settings)) as inventory,
        closing(ClickHouseIntrospection(settings)) as look,
    ):
        assert len(source.describe(STREAM.source).columns) == 2
        assert look.table(STREAM.source) is not None
        assert len(inventory.inventory(STREAM).partitions) == 1


def test_a_grant_on_a_system_table_that_is_missing_is_named(settings: ClickHouseSettings, admin: Client) -> None:
    admin.command("REVOKE SELECT ON system.parts FROM icehaul_reader")
    try:
        with closing(ClickHouseInventory(settings)) as inventory, pytest.raises(AccessDeniedError) as refused:
            inventory.inventory(STREAM)
    finally:
        admin.command("GRANT SELECT ON system.parts TO icehaul_reader")
    assert re.search(r"GRANT SELECT.* ON system\.parts TO icehaul$", refused.value.remedy)
