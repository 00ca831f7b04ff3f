"""Wall-clock boundaries; pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def due_tick(*, now: datetime, last: datetime | None, every: timedelta) -> datetime | None:
    """Return the boundary whose tick is due, ``None`` if it was sent.

    Boundaries are the multiples of ``every`` since the Unix epoch, in UTC: quarter hours for 15 minutes. Missed
    ones collapse into the newest, which asks for all that they would have asked for. A clock that steps back
    makes no tick twice.

    Raises:
        ValueError: if ``every`` is not positive.
    """
    if every <= timedelta(0):
        raise ValueError(f"tick: {every} is not positive")
    boundary = _EPOCH + (now - _EPOCH) // every * every
    return boundary if last is None or boundary > last else None
