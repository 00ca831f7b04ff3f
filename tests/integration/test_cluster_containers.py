"""Shards and replicas on released servers: one shard with two replicas and Keeper, in containers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from testcontainers.community.clickhouse import ClickHouseContainer
from testcontainers.core.network import Network

from consumer.adapters.clickhouse.source import ClickHouseSource
from consumer.domain.errors import SourceUnavailableError
from consumer.domain.stream import Stream, TableName
from consumer.settings.connections import ClickHouseSettings, StoreSettings
from tests.support.containers import clickhouse_image, needs_containers
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.container, needs_containers]

HOSTS = ("one", "two")
TABLE = TableName(database="default", table="trades", cluster="pair")
STREAM = Stream(name="trades", source=TABLE, target=TABLE, timestamp_column="ts")
# Both servers know the cluster; the first one runs Keeper for both, in its own process.
_CONFIG = """
<clickhouse>
    <keeper_server>
        <tcp_port>9181</tcp_port>
        <server_id>1</server_id>
        <log_storage_path>/var/lib/clickhouse/coordination/log</log_storage_path>
        <snapshot_storage_path>/var/lib/clickhouse/coordination/snapshots</snapshot_storage_path>
        <raft_configuration><server><id>1</id><hostname>one</hostname><port>9234</port></server></raft_configuration>
    </keeper_server>
    <zookeeper><node><host>one</host><port>9181</port></node></zookeeper>
    <macros><replica>{host}</replica></macros>
    <interserver_http_host>{host}</interserver_http_host>
    <remote_servers><pair>
        <secret>between servers</secret>
        <shard><internal_replication>true</internal_replication>
            <replica><host>one</host><port>9000</port></replica>
            <replica><host>two</host><port>9000</port></replica>
        </shard>
    </pair></remote_servers>
</clickhouse>
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ClickHouseSettings]]:
    folder = tmp_path_factory.mktemp("pair")
    found: dict[str, ClickHouseSettings] = {}
    started: list[ClickHouseContainer] = []
    with Network() as network:
        try:
            for host in HOSTS:
                container = _container(folder, host, network)
                started.append(container.start())
                found[host] = ClickHouseSettings.model_validate(
                    {
                        "host": container.get_container_host_ip(),
                        "port": int(container.get_exposed_port(8123)),
                        "user": container.username,
                        "password": container.password,
                        "cluster": TABLE.cluster,
                    }
                )
            yield found
        finally:
            for container in started:
                container.stop()


def _container(folder: Path, host: str, network: Network) -> ClickHouseContainer:
    config = folder / f"{host}.xml"
    text = _CONFIG.format(host=host)
    if host != HOSTS[0]:
        start, end = text.index("    <keeper_server>"), text.index("    <zookeeper>")
        text = text[:start] + text[end:]
    config.write_text(text, encoding="utf-8")
    container = ClickHouseContainer(clickhouse_image("25.8.11.66"), port=8123)
    container.with_volume_mapping(str(config), "/etc/clickhouse-server/config.d/pair.xml")
    container.with_kwargs(hostname=host).with_network(network).with_network_aliases(host)
    return container


@pytest.fixture(scope="module")
def clients(servers: dict[str, ClickHouseSettings]) -> Iterator[dict[str, Client]]:
    made = {
        host: clickhouse_connect.get_client(
            host=settings.host,
            port=settings.port,
            username=settings.user,
            password=settings.password.get_secret_value(),
        )
        for host, settings in servers.items()
    }
    yield made
    for client in made.values():
        client.close()


@pytest.fixture
def source(servers: dict[str, ClickHouseSettings], clients: dict[str, Client]) -> Iterator[ClickHouseSource]:
    clients["one"].command(
        "CREATE TABLE default.trades ON CLUSTER pair (ts DateTime('UTC'))"
        " ENGINE = ReplicatedMergeTree('/tables/trades', '{replica}') PARTITION BY toDate(ts) ORDER BY ts"
    )
    made = ClickHouseSource(servers["one"], StoreSettings())  # which reads its own replica
    yield made
    made.close()
    clients["one"].command("DROP TABLE default.trades ON CLUSTER pair SYNC")


def test_a_replica_that_is_behind_is_refused_until_it_has_caught_up(
    source: ClickHouseSource, clients: dict[str, Client]
) -> None:
    clients["two"].command("INSERT INTO default.trades VALUES ('2024-01-01 00:00:00')")
    wait_until(lambda: _rows(source) == 1, what="the row on the replica that is read")
    clients["one"].command("SYSTEM STOP FETCHES default.trades")
    clients["two"].command("INSERT INTO default.trades VALUES ('2024-01-01 00:00:01')")
    wait_until(lambda: _refused(source), seconds=60, what="the refusal")
    clients["one"].command("SYSTEM START FETCHES default.trades")
    wait_until(lambda: not _refused(source) and _rows(source) == 2, seconds=60, what="what was missing")


def test_replicas_of_a_shard_are_read_once(source: ClickHouseSource, clients: dict[str, Client]) -> None:
    clients["two"].command("INSERT INTO default.trades VALUES ('2024-01-01 00:00:00'), ('2024-01-02 00:00:00')")
    wait_until(lambda: _rows(source) == 2, what="both rows")
    assert source.survey(STREAM).contents.keys() == {"shard1-20240101", "shard1-20240102"}
    assert source.describe(TABLE).engine == "ReplicatedMergeTree"


def _rows(source: ClickHouseSource) -> int:
    return sum(content.rows for content in source.survey(STREAM).contents.values())


def _refused(source: ClickHouseSource) -> bool:
    try:
        source.survey(STREAM)
    except SourceUnavailableError as error:
        return "behind" in error.message or "stale" in error.message.lower()
    return False
