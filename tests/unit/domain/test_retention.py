"""Time to loss: rules that are understood give the moment that ClickHouse would; the others are never safe."""

from __future__ import annotations

import math
from calendar import monthrange
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.retention import Outlook, foresee
from consumer.domain.table_ttl import row_ttls
from consumer.domain.ttl_parser import parse_ttl

HOUR = timedelta(hours=1)
instants = st.datetimes(datetime(1971, 1, 1), datetime(2050, 1, 1)).map(lambda naive: naive.replace(tzinfo=UTC))  # noqa: DTZ001
shiftable = instants.filter(lambda instant: instant.year < 2016)
"""Instants that three shifts by thirty years leave within ClickHouse's DateTime, which ends in 2106."""
UNITS = ["Second", "Minute", "Hour", "Day", "Week", "Month", "Quarter", "Year"]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def moment(
    ttl: str, instant: datetime, *, column_type: str = "DateTime64(6, 'UTC')", server_zone: str = "UTC"
) -> datetime | None:
    expression = parse_ttl(ttl)
    return None if expression is None else expression.moment(instant, column_type=column_type, server_zone=server_zone)


def outlook(ttls: str, lowest: datetime, now: datetime) -> Outlook:
    return foresee(
        row_ttls(f"MergeTree ORDER BY ts TTL {ttls} SETTINGS a = 1"),
        lowest=lowest,
        now=now,
        time_column="ts",
        column_type="DateTime64(6, 'UTC')",
        server_zone="UTC",
    )


@pytest.mark.parametrize(
    ("ttl", "row", "deleted"),
    [
        ("ts + toIntervalHour(1)", "2024-01-31 10:20:30.5", "2024-01-31 11:20:30"),
        ("toDateTime(ts) + toIntervalMonth(1)", "2024-01-31 10:00", "2024-02-29 10:00"),
        ("toDateTime(ts) + toIntervalMonth(1)", "2023-01-31 10:00", "2023-02-28 10:00"),
        ("ts + toIntervalYear(1)", "2024-02-29 10:00", "2025-02-28 10:00"),
        ("ts + toIntervalQuarter(1)", "2024-11-30 00:00", "2025-02-28 00:00"),
        ("ts - toIntervalMonth(2)", "2024-04-30 00:00", "2024-02-29 00:00"),
        ("toDate(ts) + toIntervalDay(7)", "2024-01-01 23:59", "2024-01-08 00:00"),
        ("toDateTime(toDate(ts)) + toIntervalHour(5)", "2024-01-01 23:59", "2024-01-01 05:00"),
        ("toStartOfHour(ts) + INTERVAL 2 HOUR", "2024-01-01 23:59", "2024-01-02 01:00"),
        ("toStartOfMonth(ts) + toIntervalMonth(2)", "2024-01-31 23:59", "2024-03-01 00:00"),
        ("toStartOfQuarter(ts)", "2024-06-30 23:59", "2024-04-01 00:00"),
        ("(ts + toIntervalDay(2)) - toIntervalHour(1)", "2024-02-28 01:00", "2024-03-01 00:00"),
        ("toIntervalDay(1) + ts", "2024-02-28 01:00", "2024-02-29 01:00"),
        ("plus(ts, toIntervalWeek(1))", "2024-02-28 01:00", "2024-03-06 01:00"),
        ("subtractHours(addDays(`ts`, 1), 2)", "2024-01-01 02:00", "2024-01-02 00:00"),
    ],
)
def test_the_moment_is_the_one_that_clickhouse_computes(ttl: str, row: str, deleted: str) -> None:
    assert moment(ttl, at(row)) == at(deleted)


@pytest.mark.parametrize(
    ("ttl", "row", "column", "server", "deleted"),
    [
        # A day of the column's zone; the date that comes of it begins by the server's clock.
        ("toDate(ts) + toIntervalDay(1)", "2024-01-01 20:00", "DateTime('Asia/Tokyo')", "UTC", "2024-01-03 00:00"),
        ("toStartOfDay(ts)", "2024-01-01 20:00", "DateTime('Asia/Tokyo')", "UTC", "2024-01-01 15:00"),
        ("toStartOfDay(ts, 'Asia/Tokyo')", "2024-01-01 20:00", "DateTime('UTC')", "UTC", "2024-01-01 15:00"),
        ("ts + toIntervalDay(1)", "2024-01-01 00:00", "Date", "Europe/Berlin", "2024-01-01 23:00"),
        # The clocks are put forward: the hour that is left out, and the earlier one of the hour that comes twice.
        ("ts + toIntervalDay(1)", "2024-03-30 01:30", "DateTime", "Europe/Berlin", "2024-03-31 00:30"),
        ("ts + toIntervalDay(1)", "2024-10-26 00:30", "DateTime", "Europe/Berlin", "2024-10-27 00:30"),
    ],
)
def test_calendars_are_those_of_column_and_server(ttl: str, row: str, column: str, server: str, deleted: str) -> None:
    assert moment(ttl, at(row), column_type=column, server_zone=server) == at(deleted)


@pytest.mark.parametrize(
    "ttl",
    [
        "if(level = 1, ts, ts + toIntervalDay(1))",
        "ts + toIntervalDay(level)",
        "ts + (86400 * 4000)",
        "ts + 86400",
        "ts + (toIntervalYear(1), toIntervalDay(3))",
        "toStartOfInterval(ts, toIntervalHour(1)) + toIntervalDay(2)",
        "ts + toIntervalDay(1",
        "ts + toIntervalDay(1) ts",
        "toIntervalDay(1) - ts",
        "addDays(ts, '1')",
        "",
        "'ts'",
        "ts + toIntervalDay(1) # 2",
    ],
)
def test_what_is_not_understood_is_unknown_and_never_safe(ttl: str) -> None:
    assert parse_ttl(ttl) is None
    if ttl:
        found = outlook(ttl, at("2024-01-01"), at("2024-01-01"))
        assert (found.safe, found.left, found.unknown) == (False, None, (found.unknown[0],))
        assert math.isnan(found.seconds(HOUR))


@pytest.mark.parametrize(
    "ttl", ["toDateTime(ts) + toIntervalYear(100)", "toStartOfDay(ts, 'Mars/Olympus')", "ts + toIntervalYear(99999)"]
)
def test_a_moment_past_the_calendar_or_in_an_unknown_zone_is_unknown(ttl: str) -> None:
    assert parse_ttl(ttl) is not None
    assert outlook(ttl, at("2024-01-01"), at("2024-01-01")).unknown


def test_a_rule_on_another_column_is_unknown() -> None:
    assert outlook("inserted + toIntervalDay(9)", at("2024-01-01"), at("2024-01-01")).unknown


def test_no_rule_is_safe() -> None:
    found = foresee((), lowest=at("2024-01-01"), now=at("2024-01-01"), time_column="ts", column_type="", server_zone="")
    assert found.safe
    assert found.seconds(HOUR) == math.inf
    assert not found.within(timedelta(days=10_000))


def test_of_several_rules_the_first_to_delete_counts() -> None:
    rules = "ts + toIntervalDay(9), ts + toIntervalDay(2) WHERE level = 1, ts + toIntervalHour(1) TO VOLUME 'slow'"
    found = outlook(rules, at("2024-01-01"), at("2024-01-02"))
    assert (found.left, found.clause) == (timedelta(days=1), "ts + toIntervalDay(2) WHERE level = 1")


def test_beside_an_unknown_rule_a_known_one_counts_only_as_a_danger() -> None:
    found = outlook("ts + toIntervalDay(2), if(a, ts, ts)", at("2024-01-01"), at("2024-01-01"))
    assert math.isnan(found.seconds(timedelta(days=1)))
    assert found.seconds(timedelta(days=3)) == timedelta(days=2).total_seconds()


def test_the_time_to_loss_is_negative_once_rows_may_be_gone() -> None:
    found = outlook("ts + toIntervalDay(1)", at("2024-01-01"), at("2024-01-03"))
    assert found.left == -timedelta(days=1)
    assert found.within(timedelta(0))


@given(instants, st.integers(-40, 400))
def test_months_keep_the_day_or_end_with_the_month(instant: datetime, months: int) -> None:
    found = moment(f"ts + toIntervalMonth({months})" if months >= 0 else f"ts - toIntervalMonth({-months})", instant)
    year, month = divmod(instant.year * 12 + instant.month - 1 + months, 12)
    day = min(instant.day, monthrange(year, month + 1)[1])
    assert found == instant.replace(year=year, month=month + 1, day=day, microsecond=0)


@given(
    shiftable, shiftable, st.lists(st.tuples(st.sampled_from(UNITS), st.integers(-9, 30)), max_size=3), st.booleans()
)
def test_the_oldest_row_is_the_first_to_go(
    one: datetime, other: datetime, shifts: list[tuple[str, int]], whole_days: bool
) -> None:
    ttl = "toDate(ts)" if whole_days else "ts"
    for unit, count in shifts:
        ttl += f" {'+' if count >= 0 else '-'} toInterval{unit}({abs(count)})"
    first, last = moment(ttl, min(one, other)), moment(ttl, max(one, other))
    assert first is not None
    assert last is not None
    assert first <= last


@given(shiftable, st.lists(st.tuples(st.sampled_from(UNITS), st.integers(-3, 30)), max_size=3), st.booleans())
def test_no_row_goes_before_the_shortest_span_that_is_told(
    instant: datetime, shifts: list[tuple[str, int]], whole_days: bool
) -> None:
    ttl = "toDate(ts)" if whole_days else "ts"
    for unit, count in shifts:
        ttl += f" {'+' if count >= 0 else '-'} toInterval{unit}({abs(count)})"
    expression = parse_ttl(ttl)
    assert expression is not None
    found = expression.moment(instant, column_type="DateTime64(6, 'UTC')", server_zone="UTC")
    assert found is not None
    shortest = sum((step.shortest for step in expression.steps), timedelta(0))
    assert found - instant.replace(microsecond=0) >= shortest
