"""What the emitter holds and remembers: its lease, and the events that Kafka has acknowledged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EmitterLease:
    """The one emitter's lease at one epoch: the fence of everything that it records."""

    owner: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """A partition close that was sent: the last one of its partition.

    Attributes:
        content_id: hash of the inventory that was sent; another one makes a new event.
        cutoff: end of the partition's period, or just above its newest row (UTC).
        event_id: id of the event that Kafka acknowledged.
    """

    stream: str
    partition_id: str
    content_id: str
    cutoff: datetime
    event_id: str
