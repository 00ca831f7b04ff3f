"""What a table's keys are made of: their elements, and the columns that they name."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NAME = re.compile(r"`?(\w+)`?")


def bare_columns(key: str) -> frozenset[str]:
    """Return the columns that stand in a key by themselves, as ``a`` and ``b`` do in ``a, toDate(t), b``."""
    found = (_NAME.fullmatch(element.strip()) for element in _elements(key))
    return frozenset(match.group(1) for match in found if match is not None)


def named_columns(key: str, columns: Iterable[str]) -> frozenset[str]:
    """Return those of a table's columns that a key names, by themselves or inside of an expression."""
    words = set(re.findall(r"\w+", key))
    return frozenset(column for column in columns if column in words)


def _elements(key: str) -> list[str]:
    """Split a key at the commas that no parenthesis encloses; a tuple is the list of its elements."""
    text = key.strip().removeprefix("tuple")
    if text.startswith("(") and _encloses(text):
        text = text[1:-1]
    found, depth, begin = [], 0, 0
    for position, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            found.append(text[begin:position])
            begin = position + 1
    return [*found, text[begin:]]


def _encloses(text: str) -> bool:
    """Tell whether the parenthesis that a text begins with ends with it."""
    depth = 0
    for position, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return position == len(text) - 1
    return False
