"""The secrets that this process knows, and how they are kept out of everything that it writes.

Nothing of ours writes a secret on purpose. But servers and libraries quote what they were given: a driver its
connection string, a parser the text that it stopped at. Every error, log line and span passes here before it is kept.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

HIDDEN = "***"
"""What stands in a secret's place."""

SHORTEST = 6
SHORTEST_WORD = 12
"""Shorter values, and shorter ones of letters only, are not looked for: "icehaul" as a password would blot out half of
every sentence, and to guess it takes no log."""


class Secrets:
    """Values to be hidden in each form in which they are met: as they are, quoted for URLs, code and SQL, in base64."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.values = frozenset(filter(_telling, values))
        forms = {form for value in self.values for form in _forms(value)}
        # The longest first: a part of a form must not be taken for the whole.
        self._forms = sorted(forms, key=lambda form: (-len(form), form))

    def hide(self, text: str) -> str:
        """Return the text without the secrets."""
        # Some dozens of searches in a short text take microseconds; one expression for all takes ten times as long.
        for form in self._forms:
            if form in text:
                text = text.replace(form, HIDDEN)
        return text


def _telling(value: str) -> bool:
    return len(value) >= (SHORTEST_WORD if value.isalpha() else SHORTEST)


def _forms(value: str) -> set[str]:
    doubled = value.replace("'", "''")
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return {
        value,
        quote(value, safe=""),
        quote(value),
        quote_plus(value),
        repr(value)[1:-1],
        json.dumps(value)[1:-1],
        ascii(value)[1:-1],
        doubled,
        escaped,
        *_in_base64(value.encode("utf-8", "surrogateescape")),
    }


def _in_base64(value: bytes) -> set[str]:
    """Return what stands in the base64 of every text around the value: it depends on where in three bytes it begins."""
    found = set()
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + value)
        # Characters at both ends hold bits of the neighbours.
        begin, end = -(-before * 8 // 6), (before + len(value)) * 8 // 6
        inner = whole[begin:end].decode("ascii")
        found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return found


class _Known:
    """What this process knows; it only grows: an old password is as secret as the one that replaced it."""

    def __init__(self) -> None:
        self.secrets = Secrets()


_known = _Known()


def remember(values: Iterable[str]) -> None:
    """Hide these values from now on, in everything that this process writes."""
    known = _known.secrets.values
    if added := frozenset(filter(_telling, values)) - known:
        _known.secrets = Secrets(known | added)


def hide(text: str) -> str:
    """Return the text without any secret that this process knows."""
    return _known.secrets.hide(text)
