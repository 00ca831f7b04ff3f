"""Durations and sizes as people write them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, ByteSize, WithJsonSchema
from pydantic_settings import NoDecode

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d|w)\s*")


def parse_duration(value: Any) -> Any:  # noqa: ANN401 - whatever the YAML file holds
    """Turn ``5m``, ``1h30m`` or ``90s`` into a timedelta; a bare number is refused, for its unit is unclear.

    Raises:
        ValueError: naming what is allowed.
    """
    if isinstance(value, timedelta):
        return value
    text = value.strip() if isinstance(value, str) else ""
    parts = _PART.findall(text)
    if text == "0":
        return timedelta(0)
    if not parts or _PART.sub("", text):
        msg = "a duration is a number with a unit: us, ms, s, m, h, d or w, such as 90s, 5m, 1h30m"
        raise ValueError(msg)
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))


def format_duration(value: timedelta) -> str:
    """Write a duration as :func:`parse_duration` reads it."""
    rest = value // timedelta(microseconds=1)
    if rest == 0:
        return "0s"
    parts = []
    for unit in ("w", "d", "h", "m", "s", "ms", "us"):
        size = round(_UNITS[unit] * 1_000_000)
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "examples": ["90s", "5m", "1h30m", "1d"]}),
]
"""A span of time, written with units: ``5m``, ``1h30m``."""

Size = Annotated[ByteSize, WithJsonSchema({"type": ["string", "integer"], "examples": ["512MiB", "2GiB"]})]
"""A number of bytes, written with or without a unit: ``512MiB``."""


def _split(value: Any) -> Any:  # noqa: ANN401 - whatever the file or the environment holds
    return [part for part in value.split(",") if part] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""A list of names; in the environment separated by commas."""
