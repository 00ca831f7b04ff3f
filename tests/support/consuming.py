"""A consumer's poll loop in a thread of the test, and what its group has committed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import Consumer, TopicPartition

from consumer.adapters.kafka.consumer import KafkaMessage
from consumer.adapters.telemetry.tracing import Tracing
from consumer.bootstrap import Application
from consumer.service.runtime.loop import EventLoop
from consumer.settings.connections import KafkaSettings


@contextmanager
def consuming(application: Application) -> Iterator[EventLoop[KafkaMessage]]:
    """Run the poll loop of one consumer."""
    tracing = Tracing(application.configuration.telemetry, role="consumer")
    loop = application.loop(tracing)
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.stop_now()
        thread.join(30)
        tracing.shutdown()
    assert not thread.is_alive()


def unhandled(settings: KafkaSettings) -> int:
    """Return how many messages of the topic the group has yet to commit."""
    client = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": settings.group})
    try:
        places = [TopicPartition(settings.topic, number) for number in range(settings.partitions)]
        lag = 0
        for place in client.committed(places, timeout=20):
            first, end = client.get_watermark_offsets(place, timeout=20)
            lag += end - max(place.offset, first)
        return lag
    finally:
        client.close()


def committed_offsets(settings: KafkaSettings) -> Mapping[int, int]:
    """Return the group's committed offset of each partition that has one, by Kafka's own means."""
    client = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": settings.group})
    try:
        places = [TopicPartition(settings.topic, number) for number in range(settings.partitions)]
        return {place.partition: place.offset for place in client.committed(places, timeout=20) if place.offset >= 0}
    finally:
        client.close()
