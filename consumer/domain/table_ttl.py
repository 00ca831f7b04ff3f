"""The TTL of a table: when ClickHouse deletes rows by itself, read from the engine's clauses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

_TEXT = re.compile(r"'(?:[^'\\]|\\.|'')*'")
_INTERVAL = re.compile(r"(-?)\s*\btoInterval(Second|Minute|Hour|Day|Week|Month|Quarter|Year)\((\d+)\)")
_SPELT = re.compile(r"(-?)\s*\bINTERVAL\s+(\d+)\s+(SECOND|MINUTE|HOUR|DAY|WEEK|MONTH|QUARTER|YEAR)\b", re.IGNORECASE)
_MOVED = re.compile(r"\b(?:TO\s+(?:DISK|VOLUME)|RECOMPRESS)\b", re.IGNORECASE)
# The shortest of its kind: a TTL is never longer than it is taken for.
_SPANS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=28),
    "quarter": timedelta(days=90),
    "year": timedelta(days=365),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RowTtl:
    """One clause that deletes (or rolls up) rows; ``after`` is ``None`` where its span can't be told."""

    clause: str
    after: timedelta | None


def row_ttls(engine_full: str) -> tuple[RowTtl, ...]:
    """Return the clauses that take rows away; moves between disks and recompression leave them there.

    ``engine_full`` is as ``system.tables`` writes it: ``MergeTree PARTITION BY … TTL … SETTINGS …``.
    """
    bare = _TEXT.sub(lambda match: "'" + "_" * (len(match.group()) - 2) + "'", engine_full)
    start = _keyword(bare, "TTL")
    if start is None:
        return ()
    end = _keyword(bare, "SETTINGS")
    clauses = _split(bare[start + len("TTL") : end])
    return tuple(
        RowTtl(clause=clause, after=_after(clause)) for clause in clauses if _MOVED.search(clause) is None and clause
    )


def has_column_ttl(create_query: str) -> bool:
    """Tell whether some column's values are reset by a TTL of their own."""
    bare = _TEXT.sub("''", create_query)
    depth, start = 0, None
    for position, sign in enumerate(bare):
        if sign == "(":
            depth += 1
            start = position if start is None else start
        elif sign == ")":
            depth -= 1
            if depth == 0:
                return re.search(r"\bTTL\b", bare[start:position]) is not None
    return False


def _keyword(text: str, keyword: str) -> int | None:
    """Return where a keyword stands outside of all parentheses."""
    depth = 0
    for match in re.finditer(rf"[()]|\b{keyword}\b", text):
        if match.group() == "(":
            depth += 1
        elif match.group() == ")":
            depth -= 1
        elif depth == 0:
            return match.start()
    return None


def _split(clauses: str) -> list[str]:
    found, depth, start = [], 0, 0
    for position, sign in enumerate(clauses):
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            found.append(clauses[start:position])
            start = position + 1
    return [clause.strip() for clause in (*found, clauses[start:])]


def _after(clause: str) -> timedelta | None:
    """Return the sum of the intervals of a clause's expression (not of its WHERE)."""
    expression = re.split(r"\b(?:WHERE|GROUP BY|DELETE)\b", clause)[0]
    intervals = [(sign, unit, count) for sign, unit, count in _INTERVAL.findall(expression)]
    intervals += [(sign, unit, count) for sign, count, unit in _SPELT.findall(expression)]
    if not intervals:
        return None
    total = timedelta(0)
    for sign, unit, count in intervals:
        total += _SPANS[unit.lower()] * int(count) * (-1 if sign else 1)
    return max(total, timedelta(0))
