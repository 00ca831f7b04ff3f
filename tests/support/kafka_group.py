"""Members of a real consumer group, as threads of the test."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from consumer.adapters.kafka.consumer import KafkaEventSource, KafkaMessage
from consumer.adapters.kafka.positions import Memory, remember_nothing
from consumer.domain.errors import IcehaulError, InvalidEventError
from consumer.domain.event import Coordinates, Event, EventType
from consumer.service.runtime.loop import EventLoop
from consumer.service.runtime.ports import Handler
from consumer.service.runtime.reconciling import StreamsOfPartitions
from consumer.service.threads import Signal
from consumer.settings.connections import ConsumerSettings, KafkaSettings
from consumer.testing.telemetry import MemoryMetrics, MemoryTracing
from tests.support.waiting import wait_until

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
EVENING = datetime(2025, 1, 1, 20, tzinfo=UTC)
"""Up to when members reconcile streams after an incident."""
PROTOCOLS = [
    pytest.param({"group_protocol": "consumer"}, id="consumer"),
    pytest.param(
        {"group_protocol": "classic", "assignment_strategy": "cooperative-sticky"},
        id="cooperative-sticky",
        marks=pytest.mark.thorough,
    ),
    pytest.param({"group_protocol": "classic", "assignment_strategy": "range"}, id="range", marks=pytest.mark.thorough),
]
"""Protocols and assignment strategies of groups: what the first shows, the others show with `make thorough`."""


def decode(message: KafkaMessage) -> Event:
    """Read ``stream minutes``; anything else is no valid event.

    Each is the close of a partition of its own: ticks that wait together are handled as one.
    """
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    stream, _, minutes = (message.value() or b"").decode().partition(" ")
    if not minutes.isdecimal():
        raise InvalidEventError(f"event is {message.value()!r}", remedy="send another")
    headers = dict(message.headers() or [])
    traceparent = headers.get("traceparent")
    return Event(
        id=str(uuid4()),
        type=EventType.PARTITION_CLOSED,
        stream=stream,
        cutoff=NOON + timedelta(minutes=int(minutes)),
        source="test",
        time=NOON,
        partition_id=minutes,
        content_id=minutes,
        traceparent=traceparent.decode() if isinstance(traceparent, bytes) else None,
        coordinates=Coordinates(topic=topic, partition=partition, offset=offset),
    )


@dataclass
class Letters:
    """A dead-letter sink that fails as often as it is told."""

    failures: list[IcehaulError] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    def send(self, message: KafkaMessage, _error: IcehaulError) -> None:
        if self.failures:
            raise self.failures[0]
        self.offsets.append(message.offset() or 0)


def quiet_client_logs() -> None:
    """Keep the client's own log, many lines a second while a broker is away, out of the tests' output."""
    logging.getLogger("confluent_kafka").setLevel(logging.CRITICAL)


class Topic:
    """A topic of its own for one test, with its dead letters and its group."""

    def __init__(self, bootstrap_servers: str, *, partitions: int = 1) -> None:
        quiet_client_logs()
        name = f"events-{uuid4().hex[:8]}"
        self.settings = KafkaSettings(
            bootstrap_servers=bootstrap_servers,
            topic=name,
            dead_letter_topic=f"{name}.dead",
            group=f"group-{name}",
            partitions=partitions,
        )
        self.admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
        self.create()
        self._producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 0, "log_level": 0})

    def recreate(self) -> None:
        """Delete both topics, and create them anew: the same names, other topics."""
        names = [self.settings.topic, self.settings.dead_letter_topic]
        for future in self.admin.delete_topics(names).values():
            future.result(20)
        wait_until(lambda: not set(self._leaders()) & set(names), what="the topics to be gone")
        self.create()

    def reset(self, offset: int, partition: int = 0) -> None:
        """Reset the group's offset by Kafka's admin protocol, as the standard tools do; the group must be empty."""
        place = TopicPartition(self.settings.topic, partition, offset)
        self.restore(place)

    def place(self, partition: int = 0) -> TopicPartition:
        """Return what the group has committed, with what stands beside it."""
        return self._committed(partition)

    def restore(self, place: TopicPartition) -> None:
        """Commit as a stranger what :meth:`place` has returned; the group must be empty."""
        request = ConsumerGroupTopicPartitions(self.settings.group, [place])
        for future in self.admin.alter_consumer_group_offsets([request]).values():
            future.result(20)

    def delete_group(self) -> None:
        """Delete the group, and with it all of its offsets; Kafka refuses that while it has members."""
        for future in self.admin.delete_consumer_groups([self.settings.group]).values():
            future.result(20)

    def owners(self) -> dict[str, int]:
        """Return how many partitions each static member has, by its identity."""
        (future,) = self.admin.describe_consumer_groups([self.settings.group]).values()
        try:
            members = future.result(20).members
        except KafkaException:
            return {}  # nobody has joined yet
        return {member.group_instance_id: len(member.assignment.topic_partitions) for member in members}

    def grow(self, partitions: int) -> None:
        """Add partitions to the event topic."""
        for future in self.admin.create_partitions([NewPartitions(self.settings.topic, partitions)]).values():
            future.result(20)
        wait_until(lambda: self._partitions() == partitions, what="the new partitions to have leaders")

    def _partitions(self) -> int:
        # Asked by the producer, who learns of them that way.
        topic = self._producer.list_topics(self.settings.topic, timeout=60).topics[self.settings.topic]
        return sum(partition.leader >= 0 for partition in topic.partitions.values())

    def delete_before(self, offset: int, partition: int = 0) -> None:
        """Delete what stands before an offset, as retention does."""
        for future in self.admin.delete_records([TopicPartition(self.settings.topic, partition, offset)]).values():
            future.result(20)

    def create(self) -> None:
        """Create both topics and wait until they are there."""
        topics = [
            NewTopic(self.settings.topic, self.settings.partitions, 1),
            NewTopic(self.settings.dead_letter_topic, 1, 1),
        ]
        for future in self.admin.create_topics(topics).values():
            future.result(20)
        wait_until(lambda: set(self._leaders()) >= {self.settings.topic, self.settings.dead_letter_topic})

    def _leaders(self) -> list[str]:
        found = self.admin.list_topics(timeout=60).topics
        return [
            name
            for name, topic in found.items()
            if topic.partitions and all(partition.leader >= 0 for partition in topic.partitions.values())
        ]

    def send(self, *values: str, partition: int = 0, traceparent: str | None = None) -> None:
        """Send values and wait until they are acknowledged."""
        for value in values:
            self._producer.produce(
                self.settings.topic,
                value=value.encode(),
                partition=partition,
                headers={"traceparent": traceparent} if traceparent else None,
            )
        assert self._producer.flush(20) == 0

    def committed(self, partition: int = 0) -> int:
        """Return the group's committed offset (negative if there is none), by Kafka's own means."""
        return self._committed(partition).offset

    def _committed(self, partition: int) -> TopicPartition:
        client = Consumer({"bootstrap.servers": self.settings.bootstrap_servers, "group.id": self.settings.group})
        try:
            return client.committed([TopicPartition(self.settings.topic, partition)], timeout=20)[0]
        finally:
            client.close()


class Member:
    """One consumer: its loop runs in a thread."""

    def __init__(
        self,
        kafka: KafkaSettings,
        handler: Handler,
        consumer: ConsumerSettings | None = None,
        *,
        start_seconds: float = 10,
        identity_seconds: float = 60,
        memory: Memory = remember_nothing,
        streams: Sequence[str] = (),
    ) -> None:
        self.metrics = MemoryMetrics()
        self.tracing = MemoryTracing()
        self.letters = Letters()
        self.error: BaseException | None = None
        consumer = consumer or ConsumerSettings()
        self.loop = EventLoop[KafkaMessage](
            settings=consumer,
            group=kafka.group,
            source=KafkaEventSource(
                kafka,
                consumer,
                self.metrics,
                memory=memory,
                start_seconds=start_seconds,
                identity_seconds=identity_seconds,
            ),
            decode=decode,
            handler=handler,
            dead_letters=self.letters,
            metrics=self.metrics,
            tracer=self.tracing.tracer,
            # Of several partitions, the first one is every stream's.
            reconciling=StreamsOfPartitions(streams, lambda _stream, _partitions: 0, lambda: EVENING),
        )
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.loop.run()
        except IcehaulError as error:
            self.error = error

    def start(self) -> None:
        """Start the loop."""
        self.thread.start()

    def owns(self, count: int, *, seconds: float = 30) -> None:
        """Wait until the member owns so many partitions."""
        wait_until(
            lambda: len(self.loop.partitions) == count, seconds=seconds, what=f"member owns {self.loop.partitions}"
        )

    def stop(self, seconds: float = 30) -> None:
        """Stop in an orderly way."""
        self.loop.stop()
        self.thread.join(seconds)
        assert not self.thread.is_alive(), "the loop did not end"


class Handled:
    """A handler that records what it handled, and does what a test asks for in between."""

    def __init__(self, act: Callable[[Event, Signal], None] | None = None) -> None:
        self.started: list[Event] = []
        self.done: list[Event] = []
        self._act = act

    def __call__(self, event: Event, abandon: Signal, /) -> None:
        self.started.append(event)
        if self._act is not None:
            self._act(event, abandon)
        self.done.append(event)

    @property
    def reconciled(self) -> list[str]:
        """Streams that were reconciled because of an incident, in the order they were."""
        return [event.stream for event in self.done if event.coordinates is None and event.cutoff == EVENING]

    @property
    def offsets(self) -> list[int]:
        """Offsets of the events that are done, in the order they were."""
        return [event.coordinates.offset for event in self.done if event.coordinates is not None]


def with_settings(
    topic: Topic, fields: Mapping[str, object], *, options: Mapping[str, str] | None = None
) -> KafkaSettings:
    """Return the topic's settings with some fields and client options changed."""
    return KafkaSettings.model_validate(topic.settings.model_dump() | {"options": options or {}} | dict(fields))


@contextmanager
def running(*members: Member) -> Iterator[None]:
    """Start members, and stop them at the end."""
    for member in members:
        member.start()
    try:
        yield
    finally:
        for member in members:
            member.loop.stop_now()
        for member in members:
            member.thread.join(30)
