"""Why rows of the cold tier must not go, though the hot tier does not hold them: it may have lost them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from consumer.domain.phrasing import counted
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.ports import Source
from consumer.service.retention import look_ahead


class DoubtKind(StrEnum):
    """What may have happened to rows that the hot tier does not hold."""

    DROPPED = "dropped"
    """`icehaul drop-hot` has dropped rows of the window."""
    DELETED = "deleted"
    """More rows would go than come: they were deleted on purpose, or a partition was dropped."""
    EXPIRED = "expired"
    """A TTL may have taken them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Why rows of a window are to stay."""

    reason: str
    kind: DoubtKind

    @property
    def final(self) -> bool:
        """Whether it is not an operator's to set aside."""
        return self.kind is DoubtKind.DROPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What becomes of a window's rows in the cold tier.

    Attributes:
        window: the window.
        first: the first instant of its rows.
        coming: rows that the hot tier alone holds.
        going: rows that the cold tier alone holds.
    """

    window: Window
    first: datetime
    coming: int
    going: int


def doubt_about(
    source: Source, stream: Stream, exchange: Exchange, dropped: Sequence[Window], *, insist: str
) -> Doubt | None:
    """Return why rows must not go; ``None`` if those that do were certainly changed or deleted on purpose.

    Args:
        source: the hot tier.
        stream: whose rows they are.
        exchange: what would become of them.
        dropped: stretches of time that `icehaul drop-hot` has dropped rows of.
        insist: the option by which an operator lets them go all the same.

    Raises:
        StreamError, TransientError: as the source raises them.
    """
    window, going = exchange.window, exchange.going
    if any(one.lower < window.upper and window.lower < one.upper for one in dropped):
        return Doubt(
            reason="rows of it were dropped from the hot tier by `icehaul drop-hot`: the cold tier alone has them",
            kind=DoubtKind.DROPPED,
        )
    if not going:
        return None
    if going > exchange.coming:
        return Doubt(
            reason=f"{counted(going - exchange.coming, 'row')} more would go than come: if they were deleted in the"
            f" source on purpose, and not by TTL or a dropped partition, give {insist}",
            kind=DoubtKind.DELETED,
        )
    now = source.now()
    outlook = look_ahead(source, stream, source.describe(stream.source), exchange.first, now)
    if not outlook.safe and (outlook.at is None or outlook.at <= now):
        return Doubt(
            reason="the source's TTL may have deleted rows of it: if the cold tier is to lose them, give " + insist,
            kind=DoubtKind.EXPIRED,
        )
    return None
