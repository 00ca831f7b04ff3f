"""Time to loss: when the source's TTL may delete rows that were not offloaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import inf, nan

from consumer.domain.table_ttl import RowTtl


class OnDanger(StrEnum):
    """What a stream does whose rows would be deleted while it waits for its upstreams."""

    PROCEED = "proceed"
    """It goes on without waiting."""
    HALT = "halt"
    """It is halted, for an operator to decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """How near to the TTL's deletion is danger, and what a stream does then."""

    margin: timedelta = timedelta(hours=6)
    on_danger: OnDanger = OnDanger.PROCEED


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """When a table's TTL may delete rows at or above an instant, as seen at ``now`` by the server's clock.

    Attributes:
        lowest: no row that counts is older than this.
        at: the earliest moment that a rule names, ``None`` where no rule that is understood takes rows away.
        clause: that rule.
        unknown: rules of which nobody can say when they delete a row. A table with such a rule is never safe.
    """

    now: datetime
    lowest: datetime
    at: datetime | None = None
    clause: str | None = None
    unknown: tuple[str, ...] = ()

    @property
    def left(self) -> timedelta | None:
        """The time to loss; negative once rows may have been deleted, ``None`` where no rule tells one."""
        return None if self.at is None else self.at - self.now

    @property
    def safe(self) -> bool:
        """Whether certainly no rule deletes such rows, ever or until further ones arrive."""
        return self.at is None and not self.unknown

    def within(self, margin: timedelta) -> bool:
        """Tell whether rows may be deleted sooner than ``margin`` from now, as far as that is known."""
        return self.left is not None and self.left < margin

    def seconds(self, margin: timedelta) -> float:
        """Return the time to loss in seconds: infinite where it is safe, not a number where it is unknown.

        A rule that is understood may hide one that deletes sooner, so it counts beside an unknown one only where it
        is itself a danger.
        """
        if self.left is not None and (not self.unknown or self.within(margin)):
            return self.left.total_seconds()
        return nan if self.unknown else inf


def foresee(
    ttls: Sequence[RowTtl],
    *,
    lowest: datetime,
    now: datetime,
    time_column: str,
    column_type: str,
    server_zone: str,
) -> Outlook:
    """Return when the rules may delete rows whose time is ``lowest`` or later.

    Args:
        ttls: the table's rules that take rows away.
        lowest: the watermark, or the time of the oldest row at or above it.
        now: the source server's time.
        time_column: the stream's time column; a rule on another column is not understood.
        column_type: its ClickHouse type.
        server_zone: the server's time zone.
    """
    moments: list[tuple[datetime, str]] = []
    unknown: list[str] = []
    for ttl in ttls:
        moment = None
        if ttl.expression is not None and ttl.expression.column == time_column:
            moment = ttl.expression.moment(lowest, column_type=column_type, server_zone=server_zone)
        if moment is None:
            unknown.append(ttl.clause)
        else:
            moments.append((moment, ttl.clause))
    at, clause = min(moments, default=(None, None))
    return Outlook(now=now, lowest=lowest, at=at, clause=clause, unknown=tuple(unknown))
