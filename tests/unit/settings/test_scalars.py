"""Durations and sizes are written by people, and read back exactly."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from consumer.domain.duration import format_duration, parse_duration
from consumer.settings.scalars import Duration, Names, PositiveDuration, ResourceAttributes, Size, TraceUrl

CENTURY = timedelta(days=36_525)
SIZES = TypeAdapter(Size)
DURATIONS = TypeAdapter(Duration)
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 10**3, "MB": 10**6}


@given(st.timedeltas(min_value=timedelta(0), max_value=CENTURY))
def test_a_duration_survives_being_written_and_read(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("0", timedelta(0)),
        ("0s", timedelta(0)),
        ("90s", timedelta(seconds=90)),
        ("1h30m", timedelta(minutes=90)),
        ("1h 30m", timedelta(minutes=90)),
        (" 5 m ", timedelta(minutes=5)),
        ("1.5h", timedelta(minutes=90)),
        ("250ms", timedelta(milliseconds=250)),
        ("1us", timedelta(microseconds=1)),
        ("2w", timedelta(days=14)),
        (timedelta(days=1), timedelta(days=1)),
    ],
)
def test_a_duration_is_read_as_people_write_it(text: object, duration: timedelta) -> None:
    assert DURATIONS.validate_python(text) == duration


UNCLEAR = ["5", 5, 5.0, True, None, "", "m", "5 minutes", "5M", "1e3s", "5m;", "\u0665m", ["5m"]]


@pytest.mark.parametrize("text", UNCLEAR)
def test_what_has_no_clear_unit_is_refused_with_the_units_that_are_allowed(text: object) -> None:
    with pytest.raises(ValidationError, match="us, ms, s, m, h, d or w"):
        DURATIONS.validate_python(text)


@pytest.mark.parametrize("value", ["-5m", timedelta(seconds=-1)])
def test_a_negative_duration_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="negative"):
        DURATIONS.validate_python(value)


@pytest.mark.parametrize("text", ["99999999999999999w", "36526d", "9" * 18 + "s"])
def test_a_duration_beyond_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="at most 36525d"):
        DURATIONS.validate_python(text)


def test_a_duration_that_must_not_be_nothing_is_longer_than_nothing() -> None:
    with pytest.raises(ValidationError, match="longer than 0"):
        TypeAdapter(PositiveDuration).validate_python("0s")


@given(st.integers(min_value=0, max_value=10**6), st.sampled_from(sorted(UNITS)))
def test_a_size_counts_in_the_unit_that_is_written(count: int, unit: str) -> None:
    assert SIZES.validate_python(f"{count}{unit}") == count * UNITS[unit]


@given(st.integers(min_value=0, max_value=2**62))
def test_a_size_without_a_unit_counts_bytes(count: int) -> None:
    assert SIZES.validate_python(count) == count


@pytest.mark.parametrize("text", ["12 parsecs", "-1MiB", "", None])
def test_a_size_of_no_known_unit_is_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        SIZES.validate_python(text)


def test_names_are_a_list_in_the_file_and_separated_by_commas_in_the_environment() -> None:
    names = TypeAdapter(Names)
    assert names.validate_python("a,b") == names.validate_python(["a", "b"]) == ("a", "b")


TRACE_URLS = TypeAdapter(TraceUrl)
RESOURCES = TypeAdapter(ResourceAttributes)


@pytest.mark.parametrize("text", ["https://j.example.net/trace/{trace_id}", "http://g:3000/explore?q={trace_id}&o=1"])
def test_the_address_of_a_trace_has_the_place_of_its_id(text: str) -> None:
    assert TRACE_URLS.validate_python(text) == text


@pytest.mark.parametrize(
    "text", ["https://j.example.net/trace/", "j.example.net/{trace_id}", "https://u:p@j/{trace_id}", "https://j/{trace_id}{x}",
             "javascript:alert('{trace_id}')", "https:///{trace_id}", "https://j/ {trace_id}", "https://[j/{trace_id}"],
)  # fmt: skip
def test_an_address_that_leads_to_no_trace_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match=r"URL with \{trace_id\} in it is expected"):
        TRACE_URLS.validate_python(text)


@pytest.mark.parametrize(
    ("name", "said"), [("service.name", "service.name is set by icehaul itself"), ("a b", "no name")]
)
def test_resource_attributes_that_icehaul_sets_or_that_have_no_name_are_refused(name: str, said: str) -> None:
    assert RESOURCES.validate_python({"deployment.environment.name": "x"})
    with pytest.raises(ValidationError, match=said):
        RESOURCES.validate_python({name: "x"})
