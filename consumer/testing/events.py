"""The emitter's world in memory: a sink of events, partitions with a server's clock, lease and memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from consumer.domain.emission import Emission, EmitterLease
from consumer.domain.errors import BrokerUnavailableError, FencedError, LeaseHeldError, SourceMissingError
from consumer.domain.event import Event
from consumer.domain.inventory import Inventory
from consumer.domain.stream import Stream


class MemoryEventSink:
    """Keeps what it is sent, as Kafka's topic would; ``down`` makes it an unreachable broker."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self.down = False

    @property
    def events(self) -> list[Event]:
        """What was sent, oldest first."""
        with self._lock:
            return list(self._events)

    def send(self, events: Sequence[Event]) -> None:
        """Keep events.

        Raises:
            BrokerUnavailableError: while ``down`` is set.
        """
        if self.down:
            raise BrokerUnavailableError("the sink is down", remedy="set down to False")
        with self._lock:
            self._events += [replace(event, coordinates=None) for event in events]


class MemoryInventory:
    """Source tables by stream, and a server's clock that a test sets."""

    def __init__(self, now: datetime) -> None:
        self.time = now
        self.tables: dict[str, Inventory] = {}

    def now(self) -> datetime:
        """Return the server's time."""
        return self.time

    def inventory(self, stream: Stream) -> Inventory:
        """Return a stream's inventory.

        Raises:
            SourceMissingError: if it was given none.
        """
        if stream.name not in self.tables:
            raise SourceMissingError(f"source {stream.source} does not exist", remedy="create it")
        return self.tables[stream.name]


def _system_clock() -> datetime:
    return datetime.now(UTC)


class MemoryEmitterStore:
    """Lease and memory of emitters that share it; ``now`` is the clock that judges the lease."""

    def __init__(self, *, now: Callable[[], datetime] = _system_clock) -> None:
        self._now = now
        self._lock = threading.RLock()
        self._owner: str | None = None
        self._expires = datetime.min.replace(tzinfo=UTC)
        self._epoch = 0
        self._last_tick: datetime | None = None
        self._emissions: dict[tuple[str, str], Emission] = {}

    def acquire(self, owner: str, ttl: timedelta) -> EmitterLease:
        """Take the lease and increment its epoch.

        Raises:
            LeaseHeldError: if another owner's lease has not expired.
        """
        with self._lock:
            if self._owner not in {None, owner} and self._expires > self._now():
                raise LeaseHeldError(f"emitter lease: {self._owner} has it", remedy="wait")
            self._owner, self._expires = owner, self._now() + ttl
            self._epoch += 1
            return EmitterLease(owner=owner, epoch=self._epoch)

    def renew(self, lease: EmitterLease, ttl: timedelta) -> None:
        """Extend the lease.

        Raises:
            FencedError: if the epoch has moved on.
        """
        with self._lock:
            self._fence(lease)
            self._expires = self._now() + ttl

    def release(self, lease: EmitterLease) -> None:
        """Give the lease back; does nothing if the epoch has moved on."""
        with self._lock:
            if (self._owner, self._epoch) == (lease.owner, lease.epoch):
                self._owner = None

    def last_tick(self) -> datetime | None:
        """Return the boundary of the last tick that was recorded."""
        with self._lock:
            return self._last_tick

    def record_tick(self, lease: EmitterLease, boundary: datetime) -> None:
        """Record a tick; under the fence; never goes back.

        Raises:
            FencedError: if the epoch has moved on.
        """
        with self._lock:
            self._fence(lease)
            self._last_tick = boundary if self._last_tick is None else max(boundary, self._last_tick)

    def emissions(self, streams: Sequence[str]) -> Sequence[Emission]:
        """Return the last recorded close of each partition of the streams."""
        with self._lock:
            return [emission for emission in self._emissions.values() if emission.stream in streams]

    def record_emissions(self, lease: EmitterLease, emissions: Sequence[Emission]) -> None:
        """Record closes, replacing those of the same partitions; under the fence.

        Raises:
            FencedError: if the epoch has moved on.
        """
        with self._lock:
            self._fence(lease)
            for emission in emissions:
                self._emissions[emission.stream, emission.partition_id] = emission

    def _fence(self, lease: EmitterLease) -> None:
        if (self._owner, self._epoch) != (lease.owner, lease.epoch):
            raise FencedError(
                f"emitter lease: {lease.owner} works at epoch {lease.epoch}, but it belongs to {self._owner}"
                f" at epoch {self._epoch}",
                remedy="nothing has to be done: its new owner emits",
            )
