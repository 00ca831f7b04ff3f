from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.time_type import EPOCH, TimeKind, from_micros, time_type, to_micros
from consumer.domain.window import BEGINNING, END_OF_TIME, Window


def window(lower: str, upper: str) -> Window:
    return Window(lower=datetime.fromisoformat(lower), upper=datetime.fromisoformat(upper))


HALF_SECOND = window("2024-01-01T00:00:00.500001+00:00", "2024-01-01T12:00:01.000001+00:00")


@pytest.mark.parametrize(
    ("type_", "predicate"),
    [
        (
            "DateTime64(6)",
            (
                "t >= toDateTime64('2024-01-01 00:00:00.500001', 6, 'UTC')"
                " AND t < toDateTime64('2024-01-01 12:00:01.000001', 6, 'UTC')"
            ),
        ),
        (
            "DateTime64(3, 'Asia/Tokyo')",
            (
                "t >= toDateTime64('2024-01-01 00:00:00.501', 3, 'UTC')"
                " AND t < toDateTime64('2024-01-01 12:00:01.001', 3, 'UTC')"
            ),
        ),
        (
            "DateTime64(0)",
            "t >= toDateTime64('2024-01-01 00:00:01', 0, 'UTC') AND t < toDateTime64('2024-01-01 12:00:02', 0, 'UTC')",
        ),
        (
            "DateTime('Europe/Berlin')",
            "t >= toDateTime(1704067201, 'UTC') AND t < toDateTime(1704110402, 'UTC')",
        ),
        ("Date", "t >= toDate('2024-01-02') AND t < toDate('2024-01-02')"),
        ("Date32", "t >= toDate32('2024-01-02') AND t < toDate32('2024-01-02')"),
    ],
)
def test_bounds_between_two_values_move_up_to_the_next(type_: str, predicate: str) -> None:
    assert time_type(type_).predicate("t", HALF_SECOND) == predicate


@pytest.mark.parametrize("type_", ["Date", "Date32", "DateTime", "LowCardinality(DateTime)"])
def test_bounds_that_the_type_can_not_express_are_left_out(type_: str) -> None:
    assert time_type(type_).predicate("t", Window(lower=BEGINNING, upper=END_OF_TIME)) == "1"


@pytest.mark.parametrize("type_", ["Date", "DateTime"])
def test_a_window_outside_the_types_range_holds_nothing(type_: str) -> None:
    kind = time_type(type_)

    assert kind.predicate("t", window("1900-01-01T00:00+00:00", "1970-01-01T00:00+00:00")) == "0"
    assert kind.predicate("t", window("2200-01-01T00:00+00:00", "2201-01-01T00:00+00:00")) == "0"


def test_the_first_window_is_open_below() -> None:
    assert ">=" not in time_type("DateTime64(6)").predicate("t", Window(lower=BEGINNING, upper=HALF_SECOND.upper))


@pytest.mark.parametrize("type_", ["DateTime64(9)", "Nullable(DateTime)", "String", "Array(DateTime)"])
def test_other_types_are_no_time_column(type_: str) -> None:
    with pytest.raises(ValueError, match=r"no time|Nullable|finer"):
        time_type(type_)


def test_a_wrapped_type_counts_as_what_it_wraps() -> None:
    assert time_type("SimpleAggregateFunction(max, DateTime64(3))").precision == 3
    assert time_type("LowCardinality(Date)").kind is TimeKind.DATE


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2299, 12, 31)))  # noqa: DTZ001 - as hypothesis wants it
def test_microseconds_and_back_change_nothing(naive: datetime) -> None:
    instant = naive.replace(tzinfo=UTC)

    assert from_micros(to_micros(instant)) == instant


def test_the_epoch_is_zero() -> None:
    assert to_micros(EPOCH) == 0


@given(
    type_=st.sampled_from(["Date", "Date32", "DateTime", "DateTime64(0)", "DateTime64(3)", "DateTime64(6)"]),
    instant=st.datetimes(min_value=datetime(1901, 1, 1), max_value=datetime(2299, 1, 1)),  # noqa: DTZ001
)
def test_a_value_is_either_before_an_instant_or_not_and_windows_agree(type_: str, instant: datetime) -> None:
    kind, at = time_type(type_), instant.replace(tzinfo=UTC)
    below, above = kind.before("t", at), kind.at_or_after("t", at)
    if {below, above} & {"0", "1"}:
        assert {below, above} == {"0", "1"}
    else:
        assert below.replace("<", ">=") == above
    assert kind.predicate("t", Window(lower=BEGINNING, upper=at)) == below


def test_nothing_is_before_the_beginning_and_everything_after_it() -> None:
    kind = time_type("DateTime64(6)")
    assert (kind.before("t", BEGINNING), kind.at_or_after("t", BEGINNING)) == ("0", "1")
