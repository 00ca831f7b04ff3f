"""Windows are half-open, and every instant lies in exactly one partition of each kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.window import BEGINNING, END_OF_TIME, MICROSECOND, PartitionBy, Window

instants = st.datetimes(
    min_value=BEGINNING.replace(tzinfo=None),
    max_value=END_OF_TIME.replace(tzinfo=None) - MICROSECOND,
    timezones=st.just(UTC),
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "instant", "floor", "ceil"),
    [
        ("hour", "2024-02-29T23:59:59.999999", "2024-02-29T23:00", "2024-03-01T00:00"),
        ("day", "2024-02-29T12:00", "2024-02-29", "2024-03-01"),
        ("day", "2023-02-28T12:00", "2023-02-28", "2023-03-01"),
        ("month", "2024-02-29T00:00", "2024-02-01", "2024-03-01"),
        ("month", "2024-01-31T00:00", "2024-01-01", "2024-02-01"),
        ("month", "1999-12-31T23:59:59", "1999-12-01", "2000-01-01"),
        ("year", "2024-12-31T23:59:59", "2024-01-01", "2025-01-01"),
        ("year", "1900-01-01T00:00", "1900-01-01", "1901-01-01"),
        ("year", "2299-12-31T00:00", "2299-01-01", "2300-01-01"),
        ("month", "2299-12-31T00:00", "2299-12-01", "2300-01-01"),
        ("hour", "1969-12-31T23:30", "1969-12-31T23:00", "1970-01-01T00:00"),
        # 1900 and 2100 are no leap years, 2000 was one.
        ("month", "1900-02-28T00:00", "1900-02-01", "1900-03-01"),
        ("day", "1900-02-28T00:00", "1900-02-28", "1900-03-01"),
        ("day", "2000-02-28T00:00", "2000-02-28", "2000-02-29"),
        ("day", "2100-02-28T23:59", "2100-02-28", "2100-03-01"),
    ],
)
def test_a_partition_has_the_calendars_bounds(kind: str, instant: str, floor: str, ceil: str) -> None:
    assert PartitionBy(kind).floor(at(instant)) == at(floor)
    assert PartitionBy(kind).ceil(at(instant)) == at(ceil)


def test_without_partitions_all_time_is_one() -> None:
    assert PartitionBy.NONE.floor(at("2024-01-01")) == BEGINNING
    assert PartitionBy.NONE.ceil(at("2024-01-01")) == END_OF_TIME


@given(st.sampled_from(PartitionBy), instants)
def test_every_instant_lies_in_its_partition(kind: PartitionBy, instant: datetime) -> None:
    assert kind.floor(instant) <= instant < kind.ceil(instant)


@given(st.sampled_from(PartitionBy), instants)
def test_partitions_touch_and_do_not_overlap(kind: PartitionBy, instant: datetime) -> None:
    floor, ceil = kind.floor(instant), kind.ceil(instant)
    assert kind.floor(floor) == floor
    assert kind.ceil(ceil - MICROSECOND) == ceil
    if ceil < END_OF_TIME:
        assert kind.floor(ceil) == ceil


@given(st.sampled_from(PartitionBy), instants, instants)
def test_floors_keep_the_order_of_instants(kind: PartitionBy, one: datetime, other: datetime) -> None:
    earlier, later = sorted((one, other))
    assert kind.floor(earlier) <= kind.floor(later)
    assert kind.ceil(earlier) <= kind.ceil(later)


def test_a_window_holds_its_lower_bound_and_not_its_upper() -> None:
    window = Window(lower=at("2024-01-01"), upper=at("2024-01-02"))
    assert window.contains(window.lower)
    assert window.contains(window.upper - MICROSECOND)
    assert not window.contains(window.upper)
    assert not window.contains(window.lower - MICROSECOND)
    assert str(window) == "[2024-01-01T00:00:00+00:00, 2024-01-02T00:00:00+00:00)"


@pytest.mark.parametrize("length", [timedelta(0), -MICROSECOND])
def test_a_window_without_an_inside_is_refused(length: timedelta) -> None:
    with pytest.raises(ValueError, match="empty or reversed"):
        Window(lower=at("2024-01-01"), upper=at("2024-01-01") + length)


def test_a_window_without_a_time_zone_is_refused() -> None:
    naive = datetime(2024, 1, 1)  # noqa: DTZ001 - that is what is refused
    with pytest.raises(ValueError, match="time zone"):
        Window(lower=naive, upper=at("2024-01-02"))
    with pytest.raises(ValueError, match="time zone"):
        Window(lower=at("2024-01-01"), upper=naive + timedelta(days=2))
