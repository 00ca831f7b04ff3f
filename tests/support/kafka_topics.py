"""A topic pair of a test's own on a real broker, and what stands in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, TopicPartition

from consumer.adapters.kafka.consumer import KafkaMessage
from consumer.embedded.stack import EmbeddedStack
from consumer.settings.connections import KafkaSettings
from tests.support.waiting import wait_for


def kafka_settings(stack: EmbeddedStack, name: str, **changes: Any) -> KafkaSettings:
    """Settings of topics that no other test uses; they are not created."""
    given = {
        "bootstrap_servers": stack.endpoints.kafka.bootstrap_servers,
        "topic": f"{name}.events",
        "dead_letter_topic": f"{name}.dead",
        "group": name,
        "partitions": 6,
    }
    return KafkaSettings.model_validate(given | changes)


def _led(consumer: Consumer, topic: str) -> list[int]:
    """Return the topic's partitions once each has a leader: a broker that was away takes a moment."""
    partitions = consumer.list_topics(topic, timeout=60).topics[topic].partitions
    return list(partitions) if all(one.leader >= 0 for one in partitions.values()) else []


def read_topic(settings: KafkaSettings, topic: str) -> Sequence[KafkaMessage]:
    """Return all messages of a topic, by partition and offset."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "group.id": uuid4().hex,
            "enable.auto.commit": False,
            "fetch.message.max.bytes": 2_000_000,
        }
    )
    try:
        partitions = wait_for(lambda: _led(consumer, topic), 30, f"leaders of {topic}")
        places = [TopicPartition(topic, number) for number in partitions]
        expected = 0
        for place in places:
            low, high = consumer.get_watermark_offsets(place, timeout=60)
            expected += high - low
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        messages: list[KafkaMessage] = []
        while len(messages) < expected:
            message = consumer.poll(10)
            assert message is not None, f"{len(messages)} of {expected} messages read in time"
            assert message.error() is None
            messages.append(message)
    finally:
        consumer.close()
    return sorted(messages, key=lambda message: (message.partition() or 0, message.offset() or 0))
