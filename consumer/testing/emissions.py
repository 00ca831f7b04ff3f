"""The port ``EmitterStore`` in memory, with a clock that a test can set."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from consumer.domain.emission import Emission, EmitterLease
from consumer.domain.errors import FencedError, LeaseHeldError


def _system_clock() -> datetime:
    return datetime.now(UTC)


class MemoryEmitterStore:
    """What :class:`~consumer.adapters.postgres.emissions.PostgresEmitterStore` is, without durability.

    ``now`` stands for the server's clock, which judges the lease.
    """

    def __init__(self, *, now: Callable[[], datetime] = _system_clock) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._owner: str | None = None
        self._expires = now()
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
                raise LeaseHeldError(
                    f"emitter lease: it is not free: {self._owner} has it",
                    remedy="nothing has to be done: this emitter stands by until the lease is free",
                )
            self._owner, self._expires = owner, self._now() + ttl
            self._epoch += 1
            return EmitterLease(owner=owner, epoch=self._epoch)

    def renew(self, lease: EmitterLease, ttl: timedelta) -> None:
        """Extend the lease; under the fence."""
        with self._lock:
            self._fence(lease)
            self._expires = self._now() + ttl

    def release(self, lease: EmitterLease) -> None:
        """Give the lease back; does nothing if the epoch has moved on."""
        with self._lock:
            if (self._owner, self._epoch) == (lease.owner, lease.epoch):
                self._owner = None

    def last_tick(self) -> datetime | None:
        """Return the boundary of the last tick that was recorded, ``None`` before the first."""
        with self._lock:
            return self._last_tick

    def record_tick(self, lease: EmitterLease, boundary: datetime) -> None:
        """Record that the ticks of a boundary were acknowledged; under the fence; never goes back."""
        with self._lock:
            self._fence(lease)
            self._last_tick = boundary if self._last_tick is None else max(self._last_tick, boundary)

    def emissions(self, streams: Sequence[str]) -> Sequence[Emission]:
        """Return the last recorded close of each partition of the streams."""
        with self._lock:
            return [self._emissions[key] for key in sorted(self._emissions) if key[0] in streams]

    def record_emissions(self, lease: EmitterLease, emissions: Sequence[Emission]) -> None:
        """Record closes that were acknowledged, replacing those of the same partitions; under the fence."""
        with self._lock:
            self._fence(lease)
            self._emissions.update({(each.stream, each.partition_id): each for each in emissions})

    def _fence(self, lease: EmitterLease) -> None:
        if (self._owner, self._epoch) != (lease.owner, lease.epoch):
            holder = "nobody" if self._owner is None else self._owner
            raise FencedError(
                f"emitter lease: {lease.owner} works at epoch {lease.epoch}, but it belongs to {holder}"
                f" at epoch {self._epoch}",
                remedy="nothing has to be done: its new owner emits",
            )
