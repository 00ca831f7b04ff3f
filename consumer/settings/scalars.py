"""Durations and sizes as people write them."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ByteSize, WithJsonSchema
from pydantic_settings import NoDecode

_MICROSECONDS = {
    "w": 604_800_000_000,
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}
_PART = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*(us|ms|s|m|h|d|w)\s*")
_LONGEST = timedelta(days=36_525)
"""A century: what is longer is a slip of the pen, and would lead out of the calendar."""


def parse_duration(value: Any) -> Any:  # noqa: ANN401 - whatever the YAML file holds
    """Turn ``5m``, ``1h30m`` or ``90s`` into a timedelta; a bare number is refused, for its unit is unclear.

    Raises:
        ValueError: naming what is allowed.
    """
    if isinstance(value, timedelta):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if text == "0":
        return timedelta(0)
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text):
        hint = ", and is never negative" if text.startswith("-") else ""
        msg = f"a duration is a number with a unit: us, ms, s, m, h, d or w, such as 90s, 5m, 1h30m{hint}"
        raise ValueError(msg)
    # Not in floating point: a century has more microseconds than a float has digits.
    microseconds = sum(Decimal(number) * _MICROSECONDS[unit] for number, unit in parts)
    if microseconds > _LONGEST // timedelta(microseconds=1):
        msg = f"a duration is at most {_LONGEST.days}d"
        raise ValueError(msg)
    return timedelta(microseconds=round(microseconds))


def format_duration(value: timedelta) -> str:
    """Write a duration, which is not negative, as :func:`parse_duration` reads it."""
    rest = value // timedelta(microseconds=1)
    if rest == 0:
        return "0s"
    parts = []
    for unit, size in _MICROSECONDS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


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
