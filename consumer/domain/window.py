"""Half-open windows on a stream's time column, and the calendar spans they are aligned to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

BEGINNING = datetime(1900, 1, 1, tzinfo=UTC)
"""The watermark of a stream from which nothing was read: the earliest instant of ClickHouse's DateTime64."""

END_OF_TIME = datetime(2299, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The last whole second of ClickHouse's DateTime64."""

MICROSECOND = timedelta(microseconds=1)


class PartitionBy(StrEnum):
    """Partition transform of the target table, on the stream's time column, in UTC."""

    NONE = "none"
    YEAR = "year"
    MONTH = "month"
    DAY = "day"
    HOUR = "hour"

    def floor(self, instant: datetime) -> datetime:
        """Return the start of the partition that holds ``instant`` (``BEGINNING`` where there is one partition)."""
        match self:
            case PartitionBy.NONE:
                return BEGINNING
            case PartitionBy.YEAR:
                return datetime(instant.year, 1, 1, tzinfo=UTC)
            case PartitionBy.MONTH:
                return datetime(instant.year, instant.month, 1, tzinfo=UTC)
            case PartitionBy.DAY:
                return datetime(instant.year, instant.month, instant.day, tzinfo=UTC)
            case PartitionBy.HOUR:
                return instant.replace(minute=0, second=0, microsecond=0)

    def ceil(self, instant: datetime) -> datetime:
        """Return the end (exclusive) of the partition that holds ``instant``."""
        floor = self.floor(instant)
        match self:
            case PartitionBy.NONE:
                return END_OF_TIME
            case PartitionBy.YEAR:
                return floor.replace(year=floor.year + 1)
            case PartitionBy.MONTH:
                return (floor + timedelta(days=32)).replace(day=1)
            case PartitionBy.DAY:
                return floor + timedelta(days=1)
            case PartitionBy.HOUR:
                return floor + timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Window:
    """The instants ``lower <= t < upper``, both in UTC with microseconds.

    Raises:
        ValueError: if a bound is naive, or ``upper`` is not after ``lower``.
    """

    lower: datetime
    upper: datetime

    def __post_init__(self) -> None:
        if self.lower.tzinfo is None or self.upper.tzinfo is None:
            raise ValueError(f"window bounds must carry a time zone: [{self.lower}, {self.upper})")
        if self.upper <= self.lower:
            raise ValueError(f"window is empty or reversed: [{self.lower}, {self.upper})")

    def __str__(self) -> str:
        return f"[{self.lower.isoformat()}, {self.upper.isoformat()})"

    def contains(self, instant: datetime) -> bool:
        """Tell whether ``instant`` lies in the window."""
        return self.lower <= instant < self.upper


EVER = Window(lower=BEGINNING, upper=END_OF_TIME)
"""Every instant that a window may hold, but for the last second."""
