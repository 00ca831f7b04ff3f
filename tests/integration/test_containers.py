"""The same work on released servers in containers: ClickHouse 24.3 or what is named, Kafka and Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from testcontainers.community.clickhouse import ClickHouseContainer
from testcontainers.community.kafka import KafkaContainer
from testcontainers.community.postgres import PostgresContainer

from consumer.bootstrap import Application
from consumer.domain.event_factory import tick
from consumer.embedded.endpoints import ClickHouseEndpoint, KafkaEndpoint, PostgresEndpoint
from consumer.embedded.stack import EmbeddedStack
from tests.support.containers import clickhouse_image, needs_containers
from tests.support.platform import Platform, day
from tests.support.processes import icehaul

pytestmark = [
    pytest.mark.container,
    pytest.mark.spark,
    needs_containers,
]


@pytest.fixture(scope="module")
def clickhouse() -> Iterator[ClickHouseEndpoint]:
    with ClickHouseContainer(clickhouse_image("24.3.18.7"), port=8123) as server:
        yield ClickHouseEndpoint(
            host=server.get_container_host_ip(),
            port=int(server.get_exposed_port(8123)),
            user=server.username,
            password=server.password,
        )


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresEndpoint]:
    with PostgresContainer("postgres:16.9") as server:
        yield PostgresEndpoint(
            host=server.get_container_host_ip(),
            port=int(server.get_exposed_port(5432)),
            database=server.dbname,
            user=server.username,
            password=server.password,
        )


@pytest.fixture(scope="module")
def kafka() -> Iterator[KafkaEndpoint]:
    with KafkaContainer("confluentinc/cp-kafka:7.9.2").with_kraft() as server:
        yield KafkaEndpoint(bootstrap_servers=server.get_bootstrap_server())


def test_offload_through_released_servers(
    stack: EmbeddedStack,
    clickhouse: ClickHouseEndpoint,
    postgres: PostgresEndpoint,
    kafka: KafkaEndpoint,
    unique_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoints = stack.endpoints.model_copy(update={"clickhouse": clickhouse, "postgres": postgres, "kafka": kafka})
    # This Kafka is older than the group protocol of KIP-848.
    platform = Platform(endpoints, unique_name, tmp_path, sections={"kafka": {"group_protocol": "classic"}})
    for name, value in platform.environment().items():
        monkeypatch.setenv(name, value)
    # The server in its container does not reach the store on this machine's loopback: footers are checked, the
    # digest of the files is not.
    stream = platform.add_stream(digest="on_demand")
    platform.insert(10_000)
    with Application(platform.configuration(), environment={}) as application:
        application.migrate()
        application.topics.ensure()
        application.event_sink.send([tick(stream=stream, boundary=day("2024-01-02"))])
        config, log = str(platform.write()), tmp_path / "consumer.log"
        with icehaul("run", "--config", config, log=log, environment=platform.environment()) as consumer:
            consumer.wait_for('"outcome": "published"', seconds=180)
        (batch,) = application.ledger.batches(stream, 10)
        assert batch.rows == 10_000
    platform.close()
