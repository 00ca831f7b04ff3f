"""ClickHouse makes events on a released server, whose Kafka tables have readers: every statement is accepted."""

from __future__ import annotations

from collections.abc import Iterator

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka import murmur2
from testcontainers.community.clickhouse import ClickHouseContainer
from testcontainers.community.kafka import KafkaContainer
from testcontainers.core.network import Network

from consumer.adapters.clickhouse.event_objects import EventObjects
from consumer.adapters.clickhouse.introspection import ClickHouseIntrospection
from consumer.adapters.clickhouse.inventory import ClickHouseInventory
from consumer.adapters.kafka.codec import decode_message
from consumer.adapters.kafka.topics import Topics
from consumer.domain.event import EventType
from consumer.domain.stream import Stream, TableName
from consumer.settings.connections import ClickHouseSettings, KafkaSettings
from consumer.settings.emission import EmitterSettings
from tests.support.containers import clickhouse_image, needs_containers
from tests.support.event_objects import apply
from tests.support.kafka_topics import read_topic
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.container, needs_containers]
TABLE = TableName(database="default", table="trades")


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network() as made:
        yield made


@pytest.fixture(scope="module")
def kafka(network: Network) -> Iterator[KafkaContainer]:
    server = KafkaContainer("confluentinc/cp-kafka:7.9.2").with_kraft()
    with server.with_network(network).with_network_aliases("kafka") as started:
        yield started


@pytest.fixture(scope="module")
def clickhouse(network: Network, kafka: KafkaContainer) -> Iterator[ClickHouseSettings]:
    server = ClickHouseContainer(clickhouse_image("25.8.11.66"), port=8123)
    server.with_env("CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT", "1").with_network(network)
    with server as started:
        yield ClickHouseSettings.model_validate(
            {
                "host": started.get_container_host_ip(),
                "port": int(started.get_exposed_port(8123)),
                "user": started.username,
                "password": started.password,
            }
        )


@pytest.fixture
def client(clickhouse: ClickHouseSettings) -> Iterator[Client]:
    made = clickhouse_connect.get_client(
        host=clickhouse.host,
        port=clickhouse.port,
        username=clickhouse.user,
        password=clickhouse.password.get_secret_value(),
    )
    yield made
    made.close()


def test_a_released_server_sends_a_tick_and_a_close(
    clickhouse: ClickHouseSettings, kafka: KafkaContainer, client: Client
) -> None:
    outside = KafkaSettings(bootstrap_servers=kafka.get_bootstrap_server(), partitions=4)
    Topics(outside).ensure()
    client.command(f"CREATE TABLE {TABLE} (ts DateTime('UTC')) ENGINE = MergeTree PARTITION BY toDate(ts) ORDER BY ts")
    client.command(f"INSERT INTO {TABLE} VALUES ('2024-01-01 00:00:00')")
    server, inventory = ClickHouseIntrospection(clickhouse), ClickHouseInventory(clickhouse)
    emitter = EmitterSettings.model_validate({"poll": "1s", "grace": "1s", "tick": "1s"})
    # Inside the containers' network the broker has another address.
    inside = outside.model_copy(update={"bootstrap_servers": "kafka:9092"})
    objects = EventObjects(server, inventory, inside, emitter, database="icehaul_events")
    stream = Stream(name="trades", source=TABLE, target=TABLE, timestamp_column="ts")
    assert apply(client, objects.create([stream])) == []

    def types() -> set[EventType]:
        messages = read_topic(outside, outside.topic)
        assert all(one.partition() == murmur2(one.key() or b"", outside.partitions) for one in messages)
        return {decode_message(one).type for one in messages}

    wait_until(lambda: types() == {EventType.TICK, EventType.PARTITION_CLOSED}, seconds=60, what="both events")
    assert apply(client, objects.drop()) == []
    server.close()
    inventory.close()
