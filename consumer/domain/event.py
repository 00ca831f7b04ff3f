"""Events: hints that there may be something to offload for a stream."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from consumer.domain.inventory import PartitionContent


class EventType(StrEnum):
    """CloudEvents ``type`` of the events that icehaul understands."""

    PARTITION_CLOSED = "icehaul.partition.closed.v1"
    TICK = "icehaul.tick.v1"
    BATCH_COMMITTED = "icehaul.batch.committed.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinates:
    """Where an event stands in Kafka."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event for one stream.

    Attributes:
        id: deterministic: the same fact has the same id, whoever sends it and however often.
        stream: name of the stream that the event is a hint for.
        cutoff: the event asks that everything before this instant be offloaded (UTC).
        source: CloudEvents ``source``, who produced it.
        partition_id: ClickHouse partition id, for a partition close.
        content_id: hash of the partition's content, for a partition close.
        table: source table of that partition, for people who read the event.
        content: what the partition held, likewise.
        upstream: stream whose batch was committed, for a batch-committed event.
        batch_id: that batch.
        snapshot_id: the snapshot that the batch was published with.
        traceparent: W3C trace context of the producer, if it sent one.
        coordinates: topic, partition and offset; ``None`` before the event is sent.
    """

    id: str
    type: EventType
    stream: str
    cutoff: datetime
    source: str
    time: datetime
    partition_id: str | None = None
    content_id: str | None = None
    table: str | None = None
    content: PartitionContent | None = None
    upstream: str | None = None
    batch_id: str | None = None
    snapshot_id: int | None = None
    traceparent: str | None = None
    coordinates: Coordinates | None = None
