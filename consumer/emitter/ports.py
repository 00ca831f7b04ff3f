"""What the emitter needs from the world, as protocols."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from consumer.domain.emission import Emission, EmitterLease
from consumer.domain.event import Event
from consumer.domain.inventory import Inventory
from consumer.domain.stream import Stream


class InventorySource(Protocol):
    """The hot tier as the emitter sees it: the server's clock, and what its partitions hold."""

    def now(self) -> datetime:
        """Return the server's time in UTC.

        Raises:
            SourceUnavailableError: if the server does not answer.
        """
        ...

    def inventory(self, stream: Stream) -> Inventory:
        """List the active partitions of a stream's source table.

        Raises:
            SourceMissingError: if the table does not exist.
            SourceUnavailableError: if the server does not answer.
        """
        ...


class EventSink(Protocol):
    """Where events go: Kafka."""

    def send(self, events: Sequence[Event]) -> None:
        """Send events and return once every one is acknowledged.

        Raises:
            BrokerUnavailableError: if one is not acknowledged in time; some may have been written.
            AccessDeniedError: if the broker refuses this user.
        """
        ...


class EmitterMetrics(Protocol):
    """What the emitter counts and measures."""

    def sent(self, type_: str, events: int) -> None:
        """Count events of a type that were acknowledged."""
        ...

    def active(self, *, active: bool) -> None:
        """Record whether this emitter holds the lease, or stands by."""
        ...

    def round_ended(self, *, unseen: int) -> None:
        """Record the end of a round, and how many streams' partitions it could not look at."""
        ...


class EmitterStore(Protocol):
    """The emitter's lease and memory: Postgres.

    Every method may raise ``LedgerUnavailableError``.
    """

    def acquire(self, owner: str, ttl: timedelta) -> EmitterLease:
        """Take the lease ``offload_emitter`` and increment its epoch.

        A lease that ``owner`` holds already is taken again with a new epoch.

        Raises:
            LeaseHeldError: if another owner's lease has not expired.
        """
        ...

    def renew(self, lease: EmitterLease, ttl: timedelta) -> None:
        """Extend the lease.

        Raises:
            FencedError: if the epoch has moved on.
        """
        ...

    def release(self, lease: EmitterLease) -> None:
        """Give the lease back; does nothing if the epoch has moved on."""
        ...

    def last_tick(self) -> datetime | None:
        """Return the boundary of the last tick that was recorded, ``None`` before the first."""
        ...

    def record_tick(self, lease: EmitterLease, boundary: datetime) -> None:
        """Record that the ticks of a boundary were acknowledged for every stream; under the fence.

        Raises:
            FencedError: if the epoch has moved on.
        """
        ...

    def emissions(self, streams: Sequence[str]) -> Sequence[Emission]:
        """Return the last recorded close of each partition of the streams."""
        ...

    def record_emissions(self, lease: EmitterLease, emissions: Sequence[Emission]) -> None:
        """Record closes that were acknowledged, replacing those of the same partitions; under the fence.

        Raises:
            FencedError: if the epoch has moved on.
        """
        ...
