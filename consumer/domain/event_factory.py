"""Constructors of the events that icehaul itself sends: the same fact makes the same event, id included."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid5

from consumer.domain.event import Event, EventType
from consumer.domain.inventory import Partition
from consumer.domain.stream import TableName

EVENT_NAMESPACE = UUID("5c0f4f0e-7a62-5d0a-9d5e-1ceca51e0002")
"""Namespace of event ids (UUIDv5, RFC 9562)."""

EMITTER = "/icehaul/emitter"
"""CloudEvents ``source`` of ticks and partition closes."""

COMMITTER = "/icehaul/committer"
"""CloudEvents ``source`` of batch-committed events."""

CONSUMER = "/icehaul/consumer"
"""CloudEvents ``source`` of events that a consumer gives itself, after an incident of its offsets."""


def tick(*, stream: str, boundary: datetime) -> Event:
    """Return the tick of a wall-clock boundary: everything before it is asked for."""
    return Event(
        id=_event_id(EventType.TICK, stream, _text(boundary)),
        type=EventType.TICK,
        stream=stream,
        cutoff=boundary,
        source=EMITTER,
        time=boundary,
    )


def partition_closed(*, stream: str, table: TableName, partition: Partition, cutoff: datetime) -> Event:
    """Return the close of a partition with its present content; other content makes another event."""
    content_id = partition.content.id
    return Event(
        id=_event_id(EventType.PARTITION_CLOSED, stream, partition.id, content_id),
        type=EventType.PARTITION_CLOSED,
        stream=stream,
        cutoff=cutoff,
        source=EMITTER,
        time=partition.modified,
        partition_id=partition.id,
        content_id=content_id,
        table=str(table),
        content=partition.content,
    )


def batch_committed(
    *,
    dependant: str,
    upstream: str,
    batch_id: UUID,
    watermark: datetime,
    time: datetime,
    snapshot_id: int | None = None,
    traceparent: str | None = None,
) -> Event:
    """Return the event that wakes a dependant after a batch of its upstream was committed.

    Args:
        dependant: stream that the event is for, and is keyed by.
        upstream: stream of the batch.
        batch_id: the batch; the id of the event derives from it.
        watermark: the upstream's new watermark, up to which the dependant may go.
        time: when it was committed (UTC).
        snapshot_id: ``None`` for an empty window, which has no snapshot.
        traceparent: W3C trace context of the commit.
    """
    return Event(
        id=_event_id(EventType.BATCH_COMMITTED, dependant, str(batch_id)),
        type=EventType.BATCH_COMMITTED,
        stream=dependant,
        cutoff=watermark,
        source=COMMITTER,
        time=time,
        upstream=upstream,
        batch_id=str(batch_id),
        snapshot_id=snapshot_id,
        traceparent=traceparent,
    )


def _event_id(type_: EventType, stream: str, *parts: str) -> str:
    return str(uuid5(EVENT_NAMESPACE, "|".join((type_, stream, *parts))))


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="microseconds")
