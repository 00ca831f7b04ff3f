"""What kind of statement a text of SQL is, and on which table: all of it that a span may tell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_SCANNED = 20_000
"""Characters that are looked at: what a statement does stands at its beginning."""
_NAME = r'(?:"[^"\n]{1,128}"|`[^`\n]{1,128}`|[A-Za-z_]\w{0,127})'
_TOKEN = re.compile(
    rf"""
      '(?:[^'\\]|\\.|'')*(?:'|\Z) | --[^\n]* | /\*.*?(?:\*/|\Z)   # literals and comments: they may hold values
    | \bDISTINCT\s+FROM\b                                         # a comparison
    | (?P<named>{_NAME})\s+AS\s+(?:MATERIALIZED\s+)?(?P<common>\()
    | (?P<open>\() | (?P<close>\))
    | \b(?P<verb>SELECT|INSERT\s+INTO|UPDATE|DELETE\s+FROM|TRUNCATE\s+TABLE|LOCK\s+TABLE|COMMIT|SYSTEM|SET|EXISTS
        |DESCRIBE\s+TABLE|(?:ALTER|OPTIMIZE)\s+TABLE
        |(?:CREATE(?:\s+OR\s+REPLACE)?|DROP)(?:\s+TEMPORARY)?(?:\s+MATERIALIZED)?\s+(?:TABLE|VIEW|DATABASE|DICTIONARY)
            (?:\s+IF\s+(?:NOT\s+)?EXISTS)?)\b
      (?:\s+(?P<object>{_NAME}(?:\.{_NAME})?))?
    | \bFROM\s+(?P<source>{_NAME}(?:\.{_NAME})?)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_READS = frozenset({"SELECT", "EXISTS", "SET", "SYSTEM", "COMMIT"})
"""Statements whose next word is no table."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A statement without its text: the operation in capitals, and the first table that it is about, if any."""

    operation: str
    target: str | None

    def __str__(self) -> str:
        return self.operation if self.target is None else f"{self.operation} {self.target}"


def summarize(statement: str) -> Summary:
    """Return what a statement does; no literal of it is a part of the answer, nor is any other value."""
    operation, depth, inner = "", 0, None
    common: set[str] = set()
    for token in _TOKEN.finditer(statement, 0, _SCANNED):
        if token["open"] or token["common"]:
            depth += 1
            common |= {token["named"]} if token["named"] else set()
        elif token["close"]:
            depth -= 1
        elif token["verb"] and not operation and depth == 0:
            operation = token["verb"].split()[0].upper()
            if operation not in _READS:
                return Summary(operation, _plain(token["object"]))
        elif token["source"] and token["source"] not in common:
            if depth == 0:
                return Summary(operation or "SQL", _plain(token["source"]))
            inner = inner or token["source"]
    return Summary(operation or "SQL", _plain(inner))


@lru_cache(maxsize=512)
def summarize_fixed(statement: bytes | str) -> Summary:
    """Do the same for a statement whose values travel beside it, which is why its answer is remembered."""
    return summarize(statement if isinstance(statement, str) else statement.decode())


def _plain(name: str | None) -> str | None:
    return None if name is None else re.sub(r'["`]', "", name)
