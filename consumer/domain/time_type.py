"""The time column: its types, and predicates on it that ClickHouse can answer from its primary key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from consumer.domain.clickhouse_type import ClickHouseType, parse_type
from consumer.domain.window import BEGINNING, END_OF_TIME, Window

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
MAX_PRECISION = 6


class TimeKind(StrEnum):
    """The types that a time column may have."""

    DATE = "Date"
    DATE32 = "Date32"
    DATETIME = "DateTime"
    DATETIME64 = "DateTime64"


_END_OF_2299 = (datetime(2300, 1, 1, tzinfo=UTC) - EPOCH) // _MICROSECOND
_RANGE_DAYS_16 = (0, (1 << 16) * _DAY)
_RANGE_SECONDS_32 = (0, (1 << 32) * _SECOND)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeType:
    """Type of a time column; ``precision`` counts fractional digits (0 for the types without)."""

    kind: TimeKind
    precision: int = 0

    @property
    def resolution(self) -> int:
        """Microseconds between two neighbouring values."""
        match self.kind:
            case TimeKind.DATE | TimeKind.DATE32:
                return _DAY
            case TimeKind.DATETIME:
                return _SECOND
            case TimeKind.DATETIME64:
                return int(10 ** (MAX_PRECISION - self.precision))

    @property
    def _range(self) -> tuple[int | None, int | None]:
        """Values of the type in microseconds since the epoch: first (inclusive) and end (exclusive)."""
        match self.kind:
            case TimeKind.DATE:
                return _RANGE_DAYS_16
            case TimeKind.DATETIME:
                return _RANGE_SECONDS_32
            case _:
                return (None, _END_OF_2299)

    @property
    def span(self) -> tuple[datetime, datetime]:
        """First instant that the type holds, and the end of what it holds, as far as windows reach."""
        first, end = self._range
        return (
            BEGINNING if first is None else from_micros(first),
            END_OF_TIME if end is None or end >= _END_OF_2299 else from_micros(end),
        )

    def _literal(self, micros: int) -> str:
        match self.kind:
            case TimeKind.DATE | TimeKind.DATE32:
                return f"to{self.kind}('{(EPOCH + timedelta(microseconds=micros)).date().isoformat()}')"
            case TimeKind.DATETIME:
                return f"toDateTime({micros // _SECOND}, 'UTC')"
            case TimeKind.DATETIME64:
                text = (EPOCH + timedelta(microseconds=micros)).strftime("%Y-%m-%d %H:%M:%S.%f")
                if self.precision < MAX_PRECISION:
                    text = text[: self.precision - MAX_PRECISION].rstrip(".")
                return f"toDateTime64('{text}', {self.precision}, 'UTC')"

    def predicate(self, column: str, window: Window) -> str:
        """Return the condition that ``column`` (already quoted) lies in a window.

        The raw column is compared with constants of its own type, so that primary key and partitions prune.
        A bound between two values of a coarser column moves up to the next value, which keeps ``<`` and ``>=``
        exact. A bound that the type can't express is left out, or the condition is ``0``.
        """
        first, end = self._range
        lower = self._round_up(window.lower)
        upper = self._round_up(window.upper)
        if (end is not None and lower >= end) or (first is not None and upper <= first):
            return "0"
        conditions = []
        # The first window is open below: a value before BEGINNING is met, and refused, not passed by.
        if window.lower > BEGINNING and (first is None or lower > first):
            conditions.append(f"{column} >= {self._literal(lower)}")
        if end is None or upper < end:
            conditions.append(f"{column} < {self._literal(upper)}")
        return " AND ".join(conditions) or "1"

    def at_or_after(self, column: str, instant: datetime) -> str:
        """Return the condition that ``column`` (already quoted) is not before an instant; see :meth:`predicate`."""
        first, end = self._range
        micros = self._round_up(instant)
        if end is not None and micros >= end:
            return "0"
        if instant <= BEGINNING or (first is not None and micros <= first):
            return "1"
        return f"{column} >= {self._literal(micros)}"

    def before(self, column: str, instant: datetime) -> str:
        """Return the condition that ``column`` (already quoted) is before an instant: the other rows."""
        first, end = self._range
        micros = self._round_up(instant)
        if end is not None and micros >= end:
            return "1"
        if instant <= BEGINNING or (first is not None and micros <= first):
            return "0"
        return f"{column} < {self._literal(micros)}"

    def _round_up(self, instant: datetime) -> int:
        micros = (instant - EPOCH) // _MICROSECOND
        return -(-micros // self.resolution) * self.resolution


def to_micros(instant: datetime) -> int:
    """Return microseconds since the epoch."""
    return (instant - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the instant of microseconds since the epoch.

    Raises:
        OverflowError: if it lies outside the years 1 to 9999.
    """
    return EPOCH + timedelta(microseconds=micros)


def time_type(source_type: str) -> TimeType:
    """Return the type of a time column.

    Raises:
        ValueError: if it is Nullable, no time, or finer than a microsecond; the message says which.
    """
    parsed = parse_type(source_type)
    while parsed.name in {"LowCardinality", "SimpleAggregateFunction"} and parsed.arguments:
        inner = parsed.arguments[-1]
        if not isinstance(inner, ClickHouseType):
            break
        parsed = inner
    match parsed.name, parsed.arguments:
        case (("Date" | "Date32" | "DateTime"), _):
            return TimeType(kind=TimeKind(parsed.name))
        case "DateTime64", (int(precision), *_):
            if precision > MAX_PRECISION:
                raise ValueError("it is finer than a microsecond")
            return TimeType(kind=TimeKind.DATETIME64, precision=precision)
        case "Nullable", _:
            raise ValueError("it is Nullable, and a row without a time lies in no window")
        case _:
            raise ValueError("it is no time")
