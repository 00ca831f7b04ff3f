"""Mapping a source whose columns were changed: each row is hashed over the columns that its window was written with.

A row's time tells which those are: an era of the history begins at the watermark that the stream had when the change
was seen, so every window that was done by then lies below it. What is recorded of a window stays comparable so, whoever
compares it: of a column that was added later, its rows have no value in the cold tier, and the default in the hot tier.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count
from uuid import UUID

from consumer.domain.clickhouse_sql import quote_name
from consumer.domain.era_digest import default_of, era_digest_sql
from consumer.domain.errors import UnsupportedTypeError
from consumer.domain.mapping import ColumnMapping, SourceColumn, TableMapping
from consumer.domain.schema_history import KnownColumn, SchemaEra, SchemaHistory, ever_known, in_all_eras
from consumer.domain.stored_columns import as_stored
from consumer.domain.stream import Stream
from consumer.domain.time_type import time_type
from consumer.domain.type_mapping import form_of, map_column, map_source
from consumer.domain.wire_form import WireForm


def map_history(
    stream: Stream, columns: Sequence[SourceColumn], history: SchemaHistory, *, source_uuid: UUID | None = None
) -> TableMapping:
    """Map all columns of a stream's source, as they are now and as they were.

    Args:
        stream: the stream.
        columns: the source's columns, in their order.
        history: what they were; its last era is of these columns.
        source_uuid: UUID of the table, if queries are to refuse another table under its name.

    Raises:
        SourceMissingError, TimeColumnError, UnsupportedTypeError: as :func:`map_source` does.
    """
    mapping = map_source(stream, columns, source_uuid=source_uuid)
    known = ever_known(history)
    former = {name: column.former for name, column in known.items() if column.former}
    present = tuple(column.name for column in mapping.columns)
    if len(history) == 1 and not former and tuple(column.name for column in history[0].columns) == present:
        return mapping
    time = next(column.wire_type for column in mapping.columns if column.name == stream.timestamp_column)
    forms = {name: form_of(column.type, column.chosen) for name, column in known.items() if name in present}
    gone = list(_gone(known, present))
    every = forms | {column.name: form for column, form in gone}
    mapping = replace(mapping, columns=tuple(replace(one, since=_since(one.name, history)) for one in mapping.columns))
    digest = _digest(stream, time, history, every, as_read=True, checked=True)
    file_digest = _digest(stream, time, history, every, as_read=True, checked=False)
    if len(history) == 1:
        own = [as_stored(one, forms[one.name], former.get(one.name, ()), lacking=False) for one in mapping.columns]
        return replace(mapping, columns=tuple(own), digest=digest, file_digest=file_digest, partial=bool(former))
    everywhere = in_all_eras(history)
    ever = (*mapping.columns, *(column for column, _ in gone))
    own = [
        as_stored(one, every[one.name], former.get(one.name, ()), lacking=one.name not in everywhere) for one in ever
    ]
    unchecked = _digest(stream, time, history, every, as_read=False, checked=False)
    recorded = TableMapping(
        columns=tuple(own),
        digest=unchecked,
        file_digest=unchecked,
        partial=True,
    )
    return replace(
        mapping,
        columns=tuple(own[: len(present)]),
        digest=digest,
        file_digest=file_digest,
        partial=True,
        recorded=recorded,
    )


def _since(name: str, history: SchemaHistory) -> datetime | None:
    """Return where the rows begin that were read with a column ever since; ``None`` if all were."""
    lacking = [number for number, era in enumerate(history) if name not in era.names]
    return history[lacking[-1] + 1].since if lacking else None


def _gone(known: Mapping[str, KnownColumn], present: Sequence[str]) -> Iterator[tuple[ColumnMapping, WireForm]]:
    """Yield the columns that the source has no longer, as their values stand in data files."""
    for name, column in known.items():
        if name in present:
            continue
        try:
            mapped = map_column(column.source, count(1), column.chosen)
        except UnsupportedTypeError:
            # It never was in a data file: nothing was read with it.
            continue
        yield mapped, form_of(column.type, column.chosen)


def _digest(
    stream: Stream, time: str, history: SchemaHistory, forms: Mapping[str, WireForm], *, as_read: bool, checked: bool
) -> str:
    """Return the expression of the row hash: that of the era in which a row's time lies.

    Rows ``as_read`` from the source have no values any more of a column that was dropped after their era, even if it
    was added again: its default enters, for both tiers alike. Text is ``checked`` to be UTF-8 where that is not known.
    """
    hashes = []
    for number, era in enumerate(history):
        later = history[number + 1 :] if as_read else ()
        lost = {name for name in era.names if any(name not in one.names for one in later)}
        hashes.append(_era_hash(era, forms, lost, checked=checked))
    column, expression = quote_name(stream.timestamp_column), hashes[-1]
    for number in reversed(range(len(history) - 1)):
        if hashes[number] != expression:
            before = time_type(time).before(column, history[number + 1].since)
            expression = f"if({before}, {hashes[number]}, {expression})"
    return expression


def _era_hash(era: SchemaEra, forms: Mapping[str, WireForm], lost: Collection[str], *, checked: bool) -> str:
    arguments = [
        era_digest_sql(
            form_of(one.type, one.chosen),
            forms[one.name],
            default_of(forms[one.name]) if one.name in lost else quote_name(one.name),
            one.name if checked else None,
        )
        for one in era.columns
        if one.name in forms
    ]
    return f"cityHash64({', '.join(arguments)})"
