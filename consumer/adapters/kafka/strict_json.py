"""JSON as it may stand in an event: UTF-8, no duplicate names, finite numbers, bounded size and depth.

The parsers of the standard library, of pydantic and of the CloudEvents SDK accept more: the last of two equal
names wins there, ``NaN`` is a number, and text that is no JSON becomes a string.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import NoReturn

from consumer.domain.errors import InvalidEventError
from consumer.domain.invalid_reason import InvalidReason

MAX_DEPTH = 32
"""Levels of objects and arrays; an event needs three."""

_SHOWN = 80
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_PRODUCER = "correct the producer; the event's JSON Schema is in schemas/events"


def shown(value: object) -> str:
    """Return a value for an error message: quoted, printable, cut off."""
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


def parse_object(field: str, raw: bytes) -> dict[str, object]:
    """Parse a JSON object.

    Raises:
        InvalidEventError: naming ``field``, what stands there, and the remedy.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidEventError(
            f"{field} is not UTF-8: byte {error.start} of {shown(raw)}",
            remedy="encode the event as UTF-8",
            reason=InvalidReason.INVALID_UTF8,
        ) from None
    _check_depth(field, text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=lambda pairs: _object(field, pairs),
            parse_constant=lambda constant: _not_finite(field, constant),
            parse_float=lambda number: _float(field, number),
        )
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(
            f"{field} is not JSON: {shown(text)}: {str(error)[:200]}", remedy=_PRODUCER, reason=InvalidReason.NOT_JSON
        ) from None
    if not isinstance(value, dict):
        raise InvalidEventError(
            f"{field} is no JSON object: {shown(text)}", remedy=_PRODUCER, reason=InvalidReason.WRONG_SCHEMA
        )
    return value


def _check_depth(field: str, text: str) -> None:
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub("", text)):
        depth += 1 if bracket.group() in "[{" else -1
        if depth > MAX_DEPTH:
            raise InvalidEventError(
                f"{field} is nested deeper than {MAX_DEPTH} levels: {shown(text)}",
                remedy=_PRODUCER,
                reason=InvalidReason.TOO_DEEP,
            )


def _object(field: str, pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        # In one pass: counting each name would take minutes for some ten thousand of them.
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise InvalidEventError(
            f"{field} has the name {shown(twice)} twice in one object",
            remedy="send each name once: which of two values counts is anybody's guess",
            reason=InvalidReason.DUPLICATE_KEY,
        )
    return members


def _float(field: str, text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _not_finite(field, text)


def _not_finite(field: str, text: str) -> NoReturn:
    raise InvalidEventError(
        f"{field} holds {shown(text)}, which is no finite number", remedy=_PRODUCER, reason=InvalidReason.NOT_FINITE
    )
