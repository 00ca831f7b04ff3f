"""Whose turn it is among the streams that wait for a worker; pure."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

Rank = tuple[int, float]
"""The lowest comes first; streams without one come after those with one, the longest waiting first."""


class StreamOrder(StrEnum):
    """Which streams come first, where more of them have events than there are workers."""

    WAITING = "waiting"
    """The one that has waited longest."""
    OLDEST = "oldest"
    """The one whose watermark is furthest back."""
    NEWEST = "newest"
    """The one whose watermark is least far back: long backlogs come when nothing else has work."""
    TIME_TO_LOSS = "time-to-loss"
    """The one whose source's TTL may delete rows first, however far off that is."""


def rank(
    order: StreamOrder, *, watermark: datetime | None, loss: datetime | None, danger: datetime | None
) -> Rank | None:
    """Return the rank of a stream; those in danger come before all others, whatever the order.

    Args:
        order: what the operator wants.
        watermark: how far the stream has been read, ``None`` where that is not known.
        loss: when its source's TTL may delete rows that were not offloaded, ``None`` for never or not known.
        danger: the same, where it is within the stream's margin.
    """
    if danger is not None:
        return 0, danger.timestamp()
    match order:
        case StreamOrder.OLDEST if watermark is not None:
            return 1, watermark.timestamp()
        case StreamOrder.NEWEST if watermark is not None:
            return 1, -watermark.timestamp()
        case StreamOrder.TIME_TO_LOSS if loss is not None:
            return 1, loss.timestamp()
        case _:
            return None
