"""Widths in which time is counted: calendar units in UTC, coarse to fine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum

from consumer.domain.window import PartitionBy

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Step(StrEnum):
    """Width of a histogram's buckets, coarse to fine; each divides the one before it."""

    YEAR = "year"
    MONTH = "month"
    DAY = "day"
    HOUR = "hour"
    MINUTE = "minute"
    SECOND = "second"
    MILLISECOND = "millisecond"
    MICROSECOND = "microsecond"

    @classmethod
    def of(cls, partition_by: PartitionBy) -> Step:
        """Return the coarsest step that no partition of the target is shorter than; a day where there is one only."""
        return cls.DAY if partition_by is PartitionBy.NONE else cls(partition_by.value)

    @property
    def finer(self) -> Step:
        """The next finer step; the finest one is its own."""
        steps = list(Step)
        return steps[min(steps.index(self) + 1, len(steps) - 1)]

    def floor(self, instant: datetime) -> datetime:
        """Return the start of the bucket that holds ``instant``."""
        if self in _CALENDAR:
            return PartitionBy(self.value).floor(instant)
        return _EPOCH + ((instant - _EPOCH) // _LENGTH[self]) * _LENGTH[self]

    def end(self, start: datetime) -> datetime:
        """Return where the bucket that begins at ``start`` ends (exclusive)."""
        return PartitionBy(self.value).ceil(start) if self in _CALENDAR else start + _LENGTH[self]


_CALENDAR = frozenset({Step.YEAR, Step.MONTH})
_LENGTH = {
    Step.DAY: timedelta(days=1),
    Step.HOUR: timedelta(hours=1),
    Step.MINUTE: timedelta(minutes=1),
    Step.SECOND: timedelta(seconds=1),
    Step.MILLISECOND: timedelta(milliseconds=1),
    Step.MICROSECOND: timedelta(microseconds=1),
}
