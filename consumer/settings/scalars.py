"""Durations, instants, sizes and lists of names as fields of the configuration."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ByteSize, WithJsonSchema
from pydantic_settings import NoDecode

from consumer.domain.duration import parse_duration
from consumer.domain.window import BEGINNING, END_OF_TIME


def _not_negative(value: timedelta) -> timedelta:
    if value < timedelta(0):
        msg = "a duration must not be negative"
        raise ValueError(msg)
    return value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        msg = "this duration must be longer than 0"
        raise ValueError(msg)
    return value


Duration = Annotated[
    timedelta,
    AfterValidator(_not_negative),
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "examples": ["90s", "5m", "1h30m", "1d"]}),
]
"""A span of time that is not negative, written with units: ``5m``, ``1h30m``."""

PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
"""A span of time longer than nothing."""


def _instant(value: Any) -> datetime:  # noqa: ANN401 - YAML makes a date or a datetime of what looks like one
    if isinstance(value, date) and not isinstance(value, datetime):
        value = value.isoformat()
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, AttributeError):
        found = None
    if found is None or not BEGINNING <= found <= END_OF_TIME:
        msg = (
            f"an instant in ISO 8601 between {BEGINNING.date()} and {END_OF_TIME.date()} is expected, such as"
            " 2024-01-31T12:00:00Z (without an offset it is UTC)"
        )
        raise ValueError(msg)
    return found


Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "examples": ["2024-01-31", "2024-01-31T12:00:00Z"]}),
]
"""An instant in ISO 8601, in UTC where it has no offset."""

Size = Annotated[ByteSize, WithJsonSchema({"type": ["string", "integer"], "examples": ["512MiB", "2GiB"]})]
"""A number of bytes, written with or without a unit: ``512MiB``."""


def _split(value: Any) -> Any:  # noqa: ANN401 - whatever the file or the environment holds
    return [part for part in value.split(",") if part] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""A list of names; in the environment separated by commas."""
