"""Which columns are restored of a stream: those that its source has, or had, and has dropped."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from consumer.domain.history_mapping import map_history
from consumer.domain.mapping import SourceColumn, TableMapping
from consumer.domain.recorded_columns import recorded_columns
from consumer.domain.restore_query import restored_mapping, taken_choices
from consumer.domain.schema_change import columns_of, follow
from consumer.domain.schema_history import SchemaEra, SchemaHistory, ever_known, known_columns
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING
from consumer.ports import SourceTable, StreamRecord
from consumer.service.prepare import history_now, renamed_history
from consumer.service.restoring.ports import PastTable


@dataclass(frozen=True, slots=True, kw_only=True)
class PastColumns:
    """The columns of a stream, now and before.

    Attributes:
        stream: the stream, with what each of these columns became where its type left a choice.
        mapping: the columns with the source's types: the present ones in their order, then those that were dropped.
        recorded: how rows of data files are read and hashed as the ledger has recorded them.
        history: the columns through time.
        dropped: names of columns that the source has no longer.
        guessed: names of columns whose type in ClickHouse nobody has recorded.
    """

    stream: Stream
    mapping: TableMapping
    recorded: TableMapping
    history: SchemaHistory
    dropped: Collection[str]
    guessed: Sequence[str]

    @property
    def changed(self) -> bool:
        """Whether rows are recorded over other columns than the present ones, or files have them otherwise."""
        return self.recorded.digest is not None or self.recorded.partial


def present_columns(stream: Stream, record: StreamRecord, past: PastTable, source: SourceTable) -> PastColumns:
    """Return the columns of a stream whose source is there.

    Raises:
        StreamError: if the target can't follow what was changed in the source, so nobody can tell what a row was.
    """
    stream = _with_choices(stream, source.columns)
    recorded = record.schemas or (SchemaEra(since=BEGINNING, columns=columns_of(past.schema, source.columns)),)
    history = history_now(stream, record, source, recorded)
    mapping = map_history(stream, source.columns, history)
    follow(
        stream,
        mapping,
        renamed_history(stream, source, recorded),
        past.schema,
        last_column_id=past.schema.highest_field_id,
        next_schema_id=past.schema.schema_id + 1,
    )
    return _all(stream, source.columns, mapping, history, ())


def remembered_columns(stream: Stream, record: StreamRecord, past: PastTable) -> PastColumns:
    """Return the columns of a stream whose source is gone: as the ledger, or else the target, remembers them.

    Raises:
        UnsupportedTypeError: if neither does, and a column's Iceberg type is one that icehaul never writes.
    """
    history = record.schemas
    guessed: Sequence[str] = ()
    if not history:
        found = recorded_columns(past.schema)
        stream = _with_choices(stream, [one.column for one in found])
        columns = known_columns([one.column for one in found], dict(stream.columns))
        history, guessed = (
            (SchemaEra(since=BEGINNING, columns=columns),),
            [one.column.name for one in found if not one.known],
        )
    last = history[-1].columns
    chosen = tuple((one.name, one.chosen) for one in last if one.chosen is not None)
    stream = replace(stream, columns=chosen, sequence_columns=())
    present = [one.source for one in last]
    return _all(stream, present, map_history(stream, present, history), history, guessed)


def _all(
    stream: Stream,
    present: Sequence[SourceColumn],
    mapping: TableMapping,
    history: SchemaHistory,
    guessed: Sequence[str],
) -> PastColumns:
    """Return the columns, those too that were dropped."""
    known = ever_known(history)
    recorded = mapping.as_recorded
    names = {column.name for column in present}
    dropped = [known[column.name] for column in recorded.columns if column.name not in names]
    choices = tuple((one.name, one.chosen) for one in dropped if one.chosen is not None)
    stream = replace(stream, columns=(*stream.columns, *choices))
    return PastColumns(
        stream=stream,
        mapping=restored_mapping(stream, [*present, *(one.source for one in dropped)]),
        recorded=recorded,
        history=history,
        dropped=[one.name for one in dropped],
        guessed=guessed,
    )


def _with_choices(stream: Stream, columns: Sequence[SourceColumn]) -> Stream:
    """Return the stream with the choices that its columns' types leave; the order of rows does not matter here."""
    return replace(stream, columns=taken_choices(stream, columns), sequence_columns=())
