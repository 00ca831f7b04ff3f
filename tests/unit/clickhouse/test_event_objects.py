from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from consumer.adapters.clickhouse.event_objects import OWN_COLLECTION, EventObjects
from consumer.adapters.clickhouse.introspection import ClickHouseServer
from consumer.adapters.clickhouse.inventory import Layout
from consumer.domain.errors import ConfigurationError
from consumer.domain.stream import Stream, TableName
from consumer.domain.table_facts import EventObject
from consumer.domain.window import PartitionBy
from consumer.settings.connections import KafkaSettings
from consumer.settings.emission import EmitterSettings

T = TableName(database="d", table="t")


@dataclass
class Server:
    version: str = "26.9.2.1"
    existing: Sequence[EventObject] = ()

    def server(self) -> ClickHouseServer:
        return ClickHouseServer(version=self.version, time_zone="UTC", now=datetime(2026, 1, 1, tzinfo=UTC))

    def event_objects(self) -> Sequence[EventObject]:
        return self.existing


@dataclass
class Layouts:
    partitioned: bool = True

    def layout(self, _stream: Stream) -> Layout:
        second = timedelta(seconds=1)
        return Layout(uuid=uuid4(), partitioned=self.partitioned, period=PartitionBy.DAY, precision=second)


def stream(name: str, lag: int = 0) -> Stream:
    return Stream(name=name, source=T, target=T, timestamp_column="ts", settle_lag=timedelta(seconds=lag))


def objects(
    server: Server | None = None,
    layouts: Layouts | None = None,
    kafka: KafkaSettings | None = None,
    collection: str = OWN_COLLECTION,
    **emitter: object,
) -> EventObjects:
    return EventObjects(
        server or Server(),
        layouts or Layouts(),
        kafka or KafkaSettings(),
        EmitterSettings.model_validate(emitter),
        database="events",
        collection=collection,
    )


def test_a_table_without_partitions_gets_ticks_only() -> None:
    made = "\n".join(objects(layouts=Layouts(partitioned=False)).create([stream("a")]))
    assert "REFRESH EVERY 900 SECOND" in made
    assert "close_events" not in made


def test_without_ticks_there_are_closes_only_and_without_either_there_is_an_error() -> None:
    made = "\n".join(objects(tick="0").create([stream("a")]))
    assert "tick_events" not in made
    with pytest.raises(ConfigurationError, match="no event to send"):
        objects(layouts=Layouts(partitioned=False), tick="0").create([stream("a")])


def test_a_partition_is_quiet_for_grace_or_settle_lag_whichever_is_longer_and_never_for_no_time() -> None:
    def quiet(grace: str, lag: int) -> bool:
        return f"modified + INTERVAL {max(1, lag)} SECOND" in "\n".join(objects(grace=grace).create([stream("a", lag)]))

    assert quiet("1s", 90)
    assert quiet("0s", 0)


def test_earlier_objects_are_dropped_views_first_and_the_memory_is_kept() -> None:
    there = [
        EventObject(database=database, name=name, engine=engine)
        for database, name, engine in (
            ("events", "close_events", "Kafka"),
            ("events", "closes", "ReplacingMergeTree"),
            ("events", "find_closes_of_gone", "MaterializedView"),
            ("others", "ticks", "MaterializedView"),
        )
    ]
    drops = [one for one in objects(Server(existing=there)).create([stream("a")]) if one.startswith("DROP")]
    assert drops == [
        "DROP VIEW IF EXISTS `events`.`find_closes_of_gone` SYNC",
        "DROP TABLE IF EXISTS `events`.`close_events` SYNC",
        "DROP NAMED COLLECTION IF EXISTS `icehaul_kafka`",
    ]
    assert "DROP TABLE IF EXISTS `events`.`closes` SYNC" in objects(Server(existing=there)).drop()


def test_a_collection_of_the_operator_is_neither_made_nor_dropped() -> None:
    kafka = KafkaSettings.model_validate({"secret_options": {"sasl.password": "hidden"}})
    made = objects(kafka=kafka, collection="by_hand")
    text = "\n".join([*made.create([stream("a")]), *made.drop()])
    assert "NAMED COLLECTION" not in text
    assert "Kafka(`by_hand`)" in text


def test_how_the_broker_is_reached_goes_into_the_collection_and_what_a_consumer_needs_does_not() -> None:
    options = {"security.protocol": "ssl", "ssl.ca.location": "/ca's.pem", "max.poll.interval.ms": "1000"}
    text = "\n".join(objects(kafka=KafkaSettings.model_validate({"options": options})).create([stream("a")]))
    assert "`kafka.security_protocol` = 'ssl'" in text
    assert "`kafka.ssl_ca_location` = '/ca\\'s.pem'" in text
    assert "max_poll" not in text
    with pytest.raises(ConfigurationError, match="no name of an option"):
        objects(kafka=KafkaSettings.model_validate({"options": {"ssl.`": "x"}})).create([stream("a")])


def test_streams_with_long_names_have_views_of_their_own() -> None:
    names = ["s" * 126 + end for end in "ab"]
    made = objects().create([stream(name) for name in names])
    finders = [
        one.split("\nREFRESH")[0].rsplit("`", 2)[1] for one in made if "CREATE MATERIALIZED VIEW `events`.`find" in one
    ]
    assert len(set(finders)) == 2
    assert all(len(one) <= 127 for one in finders)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (objects(Server(version="24.8.1.1")), "24.10"),
        (objects(tick="1500ms"), "whole seconds that a day"),
        (objects(tick="7m"), "from midnight"),
        (objects(tick="1w"), "a day is a multiple of"),
    ],
)
def test_what_can_not_be_done_is_told_with_a_way_out(made: EventObjects, says: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        made.create([stream("a")])
    assert says in raised.value.message + raised.value.remedy
    assert "icehaul emit" in raised.value.remedy
