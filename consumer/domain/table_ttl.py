"""The TTL of a table: which of its rules take rows away, read from the engine's clauses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from consumer.domain.ttl_expression import TtlExpression
from consumer.domain.ttl_parser import parse_ttl

_TEXT = re.compile(r"'(?:[^'\\]|\\.|'')*'")
_MOVED = re.compile(r"\b(?:TO\s+(?:DISK|VOLUME)|RECOMPRESS)\b", re.IGNORECASE)
_ROLLED_UP = re.compile(r"\bGROUP\s+BY\b", re.IGNORECASE)
_ASSIGNED = re.compile(r"\bSET\b", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"\s*(?:`[^`]+`|\w+)\s*=")
_AFTER_EXPRESSION = re.compile(r"\b(?:WHERE|GROUP\s+BY|DELETE)\b", re.IGNORECASE)


class TtlAction(StrEnum):
    """How a rule takes rows away."""

    DELETE = "delete"
    ROLL_UP = "roll up"
    """Rows give way to one row for each group: what stood in them is gone as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowTtl:
    """One rule that takes rows away.

    A WHERE clause is not looked into: any row counts as one that it matches.

    Attributes:
        clause: the rule as ClickHouse writes it, with its texts blanked out.
        expression: when it does so, ``None`` where that is not understood.
    """

    clause: str
    action: TtlAction
    expression: TtlExpression | None

    def after(self, time_column: str) -> timedelta | None:
        """Return how long a row stays after its time at least; ``None`` where that can't be told.

        The shortest span of its kind: a TTL is never longer than it is taken for.
        """
        if self.expression is None or self.expression.column != time_column:
            return None
        return self.expression.shortest


def row_ttls(engine_full: str) -> tuple[RowTtl, ...]:
    """Return the rules that take rows away; moves between disks and recompression leave them there.

    ``engine_full`` is as ``system.tables`` writes it: ``MergeTree PARTITION BY … TTL … SETTINGS …``.
    """
    start, end = _stretch(engine_full)
    if start is None:
        return ()
    # A text may hold any keyword, so keywords are looked for where it is blanked out.
    found = []
    for begin, stop in _rules(_blanked(engine_full), start, end):
        blanked = _blanked(engine_full)[begin:stop].strip()
        if not blanked or _MOVED.search(blanked) is not None:
            continue
        expression = _AFTER_EXPRESSION.split(blanked)[0]
        written = engine_full[begin:stop].strip()[: len(expression)]
        action = TtlAction.ROLL_UP if _ROLLED_UP.search(blanked) else TtlAction.DELETE
        found.append(RowTtl(clause=blanked, action=action, expression=parse_ttl(written)))
    return tuple(found)


def has_table_ttl(engine_full: str) -> bool:
    """Tell whether a table has a TTL at all, be it only one that moves rows to another disk."""
    return _stretch(engine_full)[0] is not None


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


def _blanked(text: str) -> str:
    return _TEXT.sub(lambda match: "'" + "_" * (len(match.group()) - 2) + "'", text)


def _stretch(engine_full: str) -> tuple[int | None, int]:
    """Return where the rules begin and end; no beginning where there are none."""
    bare = _blanked(engine_full)
    start, end = _keyword(bare, "TTL"), _keyword(bare, "SETTINGS")
    return (None if start is None else start + len("TTL")), (len(bare) if end is None else end)


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


def _rules(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return where each rule begins and ends; a rule that rolls up has commas of its own."""
    rules: list[tuple[int, int]] = []
    for begin, stop in _between_commas(text, start, end):
        if rules and _goes_on(text[rules[-1][0] : rules[-1][1]], text[begin:stop]):
            rules[-1] = (rules[-1][0], stop)
        else:
            rules.append((begin, stop))
    return rules


def _goes_on(rule: str, piece: str) -> bool:
    """Tell whether what follows a comma is one more key, or one more assignment, of the rule before it."""
    if _ROLLED_UP.search(rule) is None:
        return False
    return _ASSIGNED.search(rule) is None or _ASSIGNMENT.match(piece) is not None


def _between_commas(text: str, start: int, end: int) -> list[tuple[int, int]]:
    found, depth, begin = [], 0, start
    for position in range(start, end):
        depth += (text[position] == "(") - (text[position] == ")")
        if text[position] == "," and depth == 0:
            found.append((begin, position))
            begin = position + 1
    return [*found, (begin, end)]
