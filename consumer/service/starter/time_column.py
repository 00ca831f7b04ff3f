"""Guessing which column tells when a row happened, with reasons that a reader can judge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from consumer.domain.stream import IDENTIFIER
from consumer.domain.table_facts import ColumnFacts, TableFacts, ValueRange
from consumer.domain.time_type import TimeKind, TimeType, time_type

SURE = 3
"""How much more the first candidate must weigh than the second for nobody to be asked."""

_EPOCH_ENDS = datetime(1970, 1, 2, tzinfo=UTC)
_FUTURE = timedelta(days=1)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# Words of a column's name begin with these.
_TIME = ("time", "date", "ts", "day", "hour", "minute", "when", "dt")
_EVENT = ("event", "exchange", "occur", "happen", "trade", "order", "creat", "start", "open", "ts", "time", "dt")
_PROCESSING = (
    *("insert", "ingest", "receiv", "recv", "load", "arriv", "import", "sync", "process", "etl", "fetch"),
    *("updat", "modif", "chang", "delet", "expir", "valid", "version", "end", "clos"),
)
_PRECISION_WEIGHT = {TimeKind.DATETIME64: 2, TimeKind.DATETIME: 1, TimeKind.DATE: 0, TimeKind.DATE32: 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A column that may be the time column; the heavier, the likelier."""

    column: ColumnFacts
    weight: int
    reasons: tuple[str, ...]

    @property
    def is_date(self) -> bool:
        """Whether its values are whole days."""
        return time_type(self.column.type).kind in {TimeKind.DATE, TimeKind.DATE32}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """A column that looks like a time and can't be the time column, with the reason."""

    column: ColumnFacts
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """All columns that are times, likeliest first, and those that can't serve."""

    candidates: tuple[Candidate, ...]
    ruled_out: tuple[Ruled, ...]
    decided: bool = False
    """Whether somebody has chosen, so that nothing is unsure any more."""

    @property
    def best(self) -> Candidate | None:
        """The likeliest; ``None`` where no column can serve."""
        return self.candidates[0] if self.candidates else None

    @property
    def sure(self) -> bool:
        """Whether the likeliest stands clearly before the others."""
        if self.decided or len(self.candidates) < 2:
            return bool(self.candidates)
        return self.candidates[0].weight - self.candidates[1].weight >= SURE


def time_columns(table: TableFacts) -> tuple[str, ...]:
    """Return the columns that may be time columns, in the table's order."""
    return tuple(column.name for column in table.columns if _type_of(column) is not None)


def rank(table: TableFacts, ranges: Mapping[str, ValueRange], now: datetime) -> Ranking:
    """Weigh every column that is a time: keys, name, type, and what its values say."""
    candidates: list[Candidate] = []
    ruled_out: list[Ruled] = []
    for column in table.columns:
        kind = _type_of(column)
        if kind is not None:
            candidates.append(_weigh(table, column, kind, ranges.get(column.name), now))
        elif column.stored and (reason := _why_not(column)) is not None:
            ruled_out.append(Ruled(column=column, reason=reason))
    candidates.sort(key=lambda one: -one.weight)  # stable: the table's order decides between equals
    return Ranking(candidates=tuple(candidates), ruled_out=tuple(ruled_out))


def _type_of(column: ColumnFacts) -> TimeType | None:
    if not column.stored or IDENTIFIER.fullmatch(column.name) is None:
        return None
    try:
        return time_type(column.type)
    except ValueError:
        return None


def _why_not(column: ColumnFacts) -> str | None:
    """Return why a column that is a time can't serve; ``None`` for what is no time at all."""
    if re.search(r"\bDate(?:32|Time|Time64)?\b", column.type) is None:
        return None
    try:
        time_type(column.type)
    except ValueError as error:
        text = str(error)
        return None if text == "it is no time" else text
    return "its name is not made of letters, digits and _"


def _weigh(
    table: TableFacts, column: ColumnFacts, kind: TimeType, values: ValueRange | None, now: datetime
) -> Candidate:
    found = [
        *_by_keys(table, column.name),
        *_by_name(column.name),
        (_PRECISION_WEIGHT[kind.kind], f"type {column.type}"),
        *_by_values(values, now),
    ]
    if column.kind == "MATERIALIZED":
        found.append((-2, "computed from other columns (MATERIALIZED)"))
    return Candidate(
        column=column, weight=sum(weight for weight, _ in found), reasons=tuple(reason for _, reason in found)
    )


def _by_keys(table: TableFacts, name: str) -> list[tuple[int, str]]:
    found = []
    if mentions(table.partition_key, name):
        found.append((8, "in the partition key"))
    if mentions(table.sorting_key, name):
        found.append((4, "in the sorting key"))
    return found


def mentions(expression: str, name: str) -> bool:
    """Tell whether an expression (a key) names a column."""
    return re.search(rf"(?<![\w`]){re.escape(name)}(?![\w(])|`{re.escape(name)}`", expression) is not None


def _by_name(name: str) -> list[tuple[int, str]]:
    words = [word.lower() for word in _WORD.findall(name)]
    if any(word.startswith(_PROCESSING) for word in words):
        return [(-2, "its name speaks of processing, not of the event")]
    # "t" alone is a name; as a beginning it would be half of all words.
    if any(word.startswith(_EVENT) or word == "t" for word in words):
        return [(3, "its name speaks of the event")]
    if any(word.startswith(_TIME) for word in words):
        return [(1, "its name speaks of time")]
    return []


def _by_values(values: ValueRange | None, now: datetime) -> list[tuple[int, str]]:
    if values is None:
        return []
    found = [(0, f"values from {_text(values.first)} to {_text(values.last)}")]
    if values.first < _EPOCH_ENDS <= now:
        found.append((-4, "some values are 1970-01-01, which often stands for no value"))
    if values.last > now + _FUTURE:
        found.append((-3, "some values lie in the future"))
    return found


def _text(instant: datetime) -> str:
    return instant.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
