"""A partition that begins anew in the middle of a poll: what came before the jump is of an assignment that is over."""

from __future__ import annotations

from collections import deque
from typing import Any, cast

from confluent_kafka import KafkaError, TopicPartition

from consumer.adapters.kafka.consumer import KafkaEventSource
from consumer.domain.offset_incident import Bounds, IncidentKind, OffsetIncident, Standing
from consumer.service.runtime.ports import Partition
from consumer.settings.connections import ConsumerSettings, KafkaSettings
from consumer.testing.telemetry import MemoryMetrics

INCIDENT = OffsetIncident(
    kind=IncidentKind.TRUNCATED,
    topic="events",
    partition=0,
    partitions=2,
    standing=Standing(committed=4),
    bounds=Bounds(first=0, end=3),
)


class Fetched:
    """What a client returns: a message, or an error of its partition."""

    def __init__(self, partition: int, offset: int, error: KafkaError | None = None) -> None:
        self._place, self._error = (partition, offset), error

    def topic(self) -> str:
        return "events"

    def partition(self) -> int:
        return self._place[0]

    def offset(self) -> int:
        return self._place[1]

    def error(self) -> KafkaError | None:
        return self._error


class Client:
    """A client that fetches what it is given, and records where it is sent."""

    def __init__(self, *fetched: Fetched) -> None:
        self.fetched = deque(fetched)
        self.sent: list[tuple[int, int]] = []
        self.paused: list[int] = []
        self.resumed: list[int] = []

    def poll(self, _timeout: float) -> Fetched | None:
        return self.fetched.popleft() if self.fetched else None

    def incremental_unassign(self, _places: list[TopicPartition]) -> None:
        """Nothing is assigned."""

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        self.sent += [(place.partition, place.offset) for place in places]

    def pause(self, places: list[TopicPartition]) -> None:
        self.paused += [place.partition for place in places]

    def resume(self, places: list[TopicPartition]) -> None:
        self.resumed += [place.partition for place in places]


class Positions:
    """Sends every partition back to its beginning."""

    def find_again(self, place: TopicPartition, _error: KafkaError) -> tuple[TopicPartition, OffsetIncident]:
        return TopicPartition(place.topic, place.partition, 0), INCIDENT

    def recreated(self, _partitions: object) -> list[object]:
        return []


def test_messages_from_before_a_jump_are_not_taken_for_ones_after_it() -> None:
    source = KafkaEventSource(KafkaSettings(bootstrap_servers="127.0.0.1:9"), ConsumerSettings(), MemoryMetrics())
    source.close()
    truncated = KafkaError(KafkaError._LOG_TRUNCATION)
    client = Client(Fetched(0, 4), Fetched(1, 9), Fetched(0, 5, truncated), Fetched(0, 0))
    source._client = cast("Any", client)
    source._positions = cast("Any", Positions())
    received = source.poll(0, 10)
    assert [(message.partition(), message.offset()) for message in received] == [(1, 9), (0, 0)]
    assert client.sent == [(0, 0)]


def test_a_partition_that_is_paused_is_resumed_before_it_begins_anew_and_one_that_is_not_is_left_alone() -> None:
    source = KafkaEventSource(KafkaSettings(bootstrap_servers="127.0.0.1:9"), ConsumerSettings(), MemoryMetrics())
    source.close()
    truncated = KafkaError(KafkaError._LOG_TRUNCATION)
    client = Client(Fetched(0, 5, truncated), Fetched(1, 5, truncated))
    source._client = cast("Any", client)
    source._positions = cast("Any", Positions())
    source.pause([Partition("events", 1), Partition("events", 2)])
    source.poll(0, 10)
    assert client.sent == [(0, 0), (1, 0)]
    # The client would keep the pause; and resumed for nothing, it drops the answer that tells it where to begin.
    assert client.resumed == [1]
