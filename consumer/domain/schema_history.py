"""The columns of a source through time: over which of them the rows of a stretch were hashed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from consumer.domain.mapping import SourceColumn
from consumer.domain.type_choices import As
from consumer.domain.window import BEGINNING


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownColumn:
    """A column as rows were read with it.

    Attributes:
        name: its name.
        type: its ClickHouse type.
        chosen: what it became where its type left a choice.
        former: names that it had before, which data files may have still.
    """

    name: str
    type: str
    chosen: As | None = None
    former: tuple[str, ...] = ()

    @property
    def source(self) -> SourceColumn:
        """The column as ClickHouse describes it."""
        return SourceColumn(name=self.name, type=self.type)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaEra:
    """The columns that rows at or after ``since`` were read with, up to the next era; in the order of the row hash."""

    since: datetime
    columns: tuple[KnownColumn, ...]

    @property
    def names(self) -> frozenset[str]:
        """The columns' names."""
        return frozenset(column.name for column in self.columns)


SchemaHistory = tuple[SchemaEra, ...]
"""The eras of a stream, ascending; the first one begins at ``BEGINNING``."""


def known_columns(columns: Sequence[SourceColumn], chosen: Mapping[str, As]) -> tuple[KnownColumn, ...]:
    """Return present columns as they are remembered."""
    return tuple(KnownColumn(name=one.name, type=one.type, chosen=chosen.get(one.name)) for one in columns)


def extended(history: SchemaHistory, columns: Sequence[KnownColumn], since: datetime) -> SchemaHistory:
    """Return the history with an era of the present columns, unless its last one has the same.

    A column that is known keeps its place in the row hash, whatever ClickHouse's order is now; new ones follow. Eras
    that begin at or after ``since``, the watermark, end with it: no window that is done lies there.
    """
    if not history:
        return (SchemaEra(since=BEGINNING, columns=tuple(columns)),)
    last = history[-1]
    former = {column.name: column.former for column in ever_known(history).values()}
    present = {column.name: replace(column, former=former.get(column.name, ())) for column in columns}
    kept = [present[column.name] for column in last.columns if column.name in present]
    ordered = (*kept, *(column for column in present.values() if column.name not in last.names))
    if ordered == last.columns:
        return history
    earlier = tuple(era for era in history if era.since < since)
    return (*earlier, SchemaEra(since=since if earlier else BEGINNING, columns=ordered))


def with_new_names(history: SchemaHistory, columns: Collection[str], names: Mapping[str, str]) -> SchemaHistory:
    """Return the history with the names that columns have by now.

    Args:
        history: the eras, as they are recorded.
        columns: the names of the source's present columns.
        names: new names by the old ones, as somebody says; what the present columns don't bear out changes nothing.
    """
    if not history:
        return history
    last = history[-1].names
    new = {old: name for old, name in names.items() if name in columns and old not in columns and old in last}
    if not new:
        return history

    def named(column: KnownColumn) -> KnownColumn:
        if column.name not in new:
            return column
        return replace(column, name=new[column.name], former=(column.name, *column.former))

    return tuple(replace(era, columns=tuple(map(named, era.columns))) for era in history)


def ever_known(history: SchemaHistory) -> dict[str, KnownColumn]:
    """Return every column that the stream has had, as it was last known, in the order of their appearance."""
    found: dict[str, KnownColumn] = {}
    for era in history:
        found |= {column.name: column for column in era.columns}
    return found


def in_all_eras(history: SchemaHistory) -> frozenset[str]:
    """Return the columns that the stream has always had: every data file has them, under one of their names."""
    return frozenset.intersection(*(era.names for era in history))
