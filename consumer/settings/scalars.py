"""Durations, sizes and lists of names as fields of the configuration."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ByteSize, WithJsonSchema
from pydantic_settings import NoDecode

from consumer.domain.duration import parse_duration


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

Size = Annotated[ByteSize, WithJsonSchema({"type": ["string", "integer"], "examples": ["512MiB", "2GiB"]})]
"""A number of bytes, written with or without a unit: ``512MiB``."""


def _split(value: Any) -> Any:  # noqa: ANN401 - whatever the file or the environment holds
    return [part for part in value.split(",") if part] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""A list of names; in the environment separated by commas."""
