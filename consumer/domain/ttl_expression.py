"""Expressions of TTL rules, computed for one row's time.

An expression is one column, cut to calendar units and moved by constant intervals. Every step keeps the order of
instants (but for the hour that a zone's clocks repeat), so the oldest row is the first one that a rule deletes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from consumer.domain.clickhouse_type import parse_type

_END_OF_DATETIME = datetime(2106, 2, 7, 6, 28, 15, tzinfo=UTC)
"""The last second of ClickHouse's DateTime: a later result starts again in 1970."""


class CalendarUnit(StrEnum):
    """Units of the calendar."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


_FIXED = {
    CalendarUnit.SECOND: timedelta(seconds=1),
    CalendarUnit.MINUTE: timedelta(minutes=1),
    CalendarUnit.HOUR: timedelta(hours=1),
}
_DAYS = {CalendarUnit.DAY: 1, CalendarUnit.WEEK: 7}
_MONTHS = {CalendarUnit.MONTH: 1, CalendarUnit.QUARTER: 3, CalendarUnit.YEAR: 12}
_SHORTEST_DAYS = {
    CalendarUnit.DAY: 1,
    CalendarUnit.WEEK: 7,
    CalendarUnit.MONTH: 28,
    CalendarUnit.QUARTER: 90,
    CalendarUnit.YEAR: 365,
}
_LONGEST_DAYS = {
    CalendarUnit.DAY: 1,
    CalendarUnit.WEEK: 7,
    CalendarUnit.MONTH: 31,
    CalendarUnit.QUARTER: 92,
    CalendarUnit.YEAR: 366,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Moves a time by an interval; a negative ``count`` moves it back."""

    unit: CalendarUnit
    count: int

    @property
    def shortest(self) -> timedelta:
        """The least that it moves a time by, whatever the calendar says."""
        if self.unit in _FIXED:
            return _FIXED[self.unit] * self.count
        return timedelta(days=(_SHORTEST_DAYS if self.count > 0 else _LONGEST_DAYS)[self.unit] * self.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Cuts a time down to the beginning of a unit, in ``zone`` or in the zone that the time has.

    ``as_date`` tells whether the result is a Date, which has no zone of its own.
    """

    unit: CalendarUnit
    zone: str | None
    as_date: bool

    @property
    def shortest(self) -> timedelta:
        """The most that it takes away, as a negative span; that of a second is not worth a word."""
        if self.unit is CalendarUnit.SECOND:
            return timedelta(0)
        return -_FIXED[self.unit] if self.unit in _FIXED else -timedelta(days=_LONGEST_DAYS[self.unit])


Step = Shift | Cut


@dataclass(frozen=True, slots=True)
class _Time:
    """An instant with the zone in which its calendar is read."""

    utc: datetime
    zone: tzinfo

    @property
    def local(self) -> datetime:
        return self.utc.astimezone(self.zone).replace(tzinfo=None, fold=0)

    def at(self, local: datetime) -> _Time:
        """Return the earliest instant at which the zone's clocks show ``local``."""
        shown = (local.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        return _Time(min(shown), self.zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class TtlExpression:
    """A TTL rule's time: a column, and the steps that lead from its value to the moment of deletion."""

    column: str
    steps: tuple[Step, ...]

    @property
    def shortest(self) -> timedelta:
        """A span that lies between a row's time and its deletion in any case; never negative."""
        return max(sum((step.shortest for step in self.steps), timedelta(0)), timedelta(0))

    def moment(self, instant: datetime, *, column_type: str, server_zone: str) -> datetime | None:
        """Return the earliest instant (UTC) at which a row of this time may be deleted.

        ``None`` where it can't be told: a zone that this machine does not know, or a moment past the calendar.

        Args:
            instant: the row's value of the column.
            column_type: the column's ClickHouse type, which may name a zone.
            server_zone: the server's zone, in which dates begin.
        """
        try:
            server = _zone(server_zone)
            value = _column_value(instant, column_type, server)
            for step in self.steps:
                value = _shifted(value, step, server) if isinstance(step, Shift) else _cut(value, step, server)
            found = value if isinstance(value, _Time) else _midnight(value, server)
        except (OverflowError, ValueError, ZoneInfoNotFoundError):
            return None
        return found.utc.replace(microsecond=0) if found.utc <= _END_OF_DATETIME else None


def _zone(name: str) -> tzinfo:
    return UTC if name in {"UTC", "Etc/UTC"} else ZoneInfo(name)


def _column_value(instant: datetime, column_type: str, server: tzinfo) -> _Time | date:
    parsed = parse_type(column_type)
    if parsed.name in {"Date", "Date32"}:
        return instant.astimezone(UTC).date()
    zone = next((argument for argument in parsed.arguments if isinstance(argument, str)), None)
    return _Time(instant.astimezone(UTC), server if zone is None else _zone(zone))


def _midnight(day: date, zone: tzinfo) -> _Time:
    return _Time(datetime.min.replace(tzinfo=UTC), zone).at(datetime.combine(day, time()))


def _shifted(value: _Time | date, step: Shift, server: tzinfo) -> _Time | date:
    if step.unit in _FIXED:
        start = value if isinstance(value, _Time) else _midnight(value, server)
        return _Time(start.utc + _FIXED[step.unit] * step.count, start.zone)
    if isinstance(value, _Time):
        local = value.local
        return value.at(datetime.combine(_moved(local.date(), step), local.time()))
    return _moved(value, step)


def _moved(day: date, step: Shift) -> date:
    if step.unit in _DAYS:
        return day + timedelta(days=_DAYS[step.unit] * step.count)
    year, month = divmod(day.year * 12 + day.month - 1 + _MONTHS[step.unit] * step.count, 12)
    first = date(year, month + 1, 1)
    last = (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    # As ClickHouse does: the 31st of a month is followed by the last day of a shorter one.
    return first.replace(day=min(day.day, last.day))


def _cut(value: _Time | date, step: Cut, server: tzinfo) -> _Time | date:
    zone = None if step.zone is None else _zone(step.zone)
    if not isinstance(value, _Time):
        return _floor(value, step.unit) if step.as_date else _midnight(value, zone or server)
    there = value if zone is None else _Time(value.utc, zone)
    local = there.local
    if step.as_date:
        return _floor(local.date(), step.unit)
    if step.unit is CalendarUnit.DAY:
        return there.at(datetime.combine(local.date(), time()))
    kept = {"second": 0, "microsecond": 0} if step.unit is not CalendarUnit.SECOND else {"microsecond": 0}
    if step.unit is CalendarUnit.HOUR:
        kept["minute"] = 0
    return there.at(local.replace(**kept))  # type: ignore[arg-type]


def _floor(day: date, unit: CalendarUnit) -> date:
    match unit:
        case CalendarUnit.MONTH:
            return day.replace(day=1)
        case CalendarUnit.QUARTER:
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case CalendarUnit.YEAR:
            return day.replace(month=1, day=1)
        case _:
            return day
