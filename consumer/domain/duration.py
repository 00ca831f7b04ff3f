"""Durations as people write them: ``5m``, ``1h30m``."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

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
