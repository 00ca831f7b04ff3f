"""Leases of a ledger in memory."""

from __future__ import annotations

from consumer.domain.errors import LeaseHeldError


def held(stream: str, by: str) -> LeaseHeldError:
    """Return the error for a lease that is not free, and why."""
    return LeaseHeldError(
        f"stream {stream}: the lease is not free: {by}",
        remedy="nothing has to be done: the event is held until the lease is free or the work is done",
    )
