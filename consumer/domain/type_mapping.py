"""From ClickHouse columns to Iceberg columns: exactly, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from types import MappingProxyType
from uuid import UUID

from pyiceberg.types import DoubleType, FloatType

from consumer.domain.clickhouse_sql import quote_name
from consumer.domain.clickhouse_type import TypeSyntaxError, parse_type
from consumer.domain.errors import SourceMissingError, TimeColumnError, UnsupportedTypeError
from consumer.domain.mapping import ColumnMapping, SourceColumn, TableMapping
from consumer.domain.stream import IDENTIFIER, Stream
from consumer.domain.time_type import time_type
from consumer.domain.type_choices import UNORDERED, As
from consumer.domain.type_forms import FormMapper, UnsupportedFormError
from consumer.domain.wire_form import WireForm

DIGEST_COLUMN = "_icehaul_digest"
"""Name of the row hash in reading queries."""

RESERVED = frozenset(
    {
        DIGEST_COLUMN,
        "_change_ordinal",
        "_change_type",
        "_commit_snapshot_id",
        "_deleted",
        "_file",
        "_last_updated_sequence_number",
        "_partition",
        "_pos",
        "_row_id",
        "_spec_id",
    }
)
"""Column names that Iceberg engines, or icehaul's queries, use themselves."""

VIRTUAL = frozenset({"_part", "_partition_id", "_shard_num"})
"""Names by which ClickHouse tells where a row lies; a column that has one would answer in its place."""

_NO_CHOICE: Mapping[str, As] = MappingProxyType({})


def _unsupported(column: SourceColumn, unsupported: UnsupportedFormError) -> UnsupportedTypeError:
    offered = [f"{choice} (loses {what.loses})" for choice, what in unsupported.offered.items()]
    choose = (
        f"choose by columns.{column.name} of the stream what it becomes: {', or '.join(offered)}; or "
        if offered
        else ""
    )
    return UnsupportedTypeError(
        f"column {column.name!r} has the type {column.type}: {unsupported}",
        remedy=(
            f"{choose}offload another source table whose column is cast to {unsupported.fallback}, fed by a"
            " materialized view; or one that leaves the column out; or change the column's type in ClickHouse"
        ),
    )


def form_of(type_: str, chosen: As | None) -> WireForm:
    """Return the wire form of a type that has one, with provisional ids for nested fields."""
    return FormMapper(count(1), chosen).form(parse_type(type_))


def map_column(column: SourceColumn, ids: Iterator[int], chosen: As | None) -> ColumnMapping:
    """Map one column; ``ids`` are provisional ids for nested fields.

    Raises:
        UnsupportedTypeError: if it has no exact counterpart in Iceberg, naming column, type and choices.
    """
    if IDENTIFIER.fullmatch(column.name) is None or column.name in RESERVED:
        raise UnsupportedTypeError(
            f"column {column.name!r} ({column.type}) has a name that Iceberg's engines do not agree on",
            remedy=(
                "rename it to ASCII letters, digits and _, at most 127, not starting with a digit and not one of"
                f" {', '.join(sorted(RESERVED))}; or offload another source table, fed by a materialized view"
            ),
        )
    if column.name in VIRTUAL:
        raise UnsupportedTypeError(
            f"column {column.name!r} ({column.type}) hides ClickHouse's own column of this name, by which late rows and"
            " partitions are found",
            remedy="rename it; or offload another source table, fed by a materialized view",
        )
    mapper = FormMapper(ids, chosen)
    try:
        form = mapper.form(parse_type(column.type))
    except UnsupportedFormError as unsupported:
        raise _unsupported(column, unsupported) from None
    except (TypeSyntaxError, ValueError) as error:
        raise _unsupported(column, UnsupportedFormError(f"icehaul does not know this type ({error})")) from error
    if chosen is not None and not mapper.used:
        raise UnsupportedTypeError(
            f"columns.{column.name}: {chosen} is no choice for the type {column.type}",
            remedy=f"leave it out: the column becomes {form.iceberg_type}",
        )
    name = quote_name(column.name)
    return ColumnMapping(
        name=column.name,
        source_type=column.type,
        iceberg_type=form.iceberg_type,
        required=not form.nullable,
        read_sql=form.read(name, column.type),
        wire_type=form.wire_type,
        file_sql=name,
        file_type=form.wire_type,
        restore_sql=form.restore(name, column.type),
        digest_sql=form.digest_sql(name, column.name),
        file_digest_sql=form.file_digest_sql(name),
        default_sql=column.default,
    )


def _find(columns: Sequence[SourceColumn], name: str, option: str) -> SourceColumn:
    for column in columns:
        if column.name == name:
            return column
    raise SourceMissingError(
        f"{option}: the source has no column {name!r}; it has {', '.join(column.name for column in columns)}",
        remedy=f"correct {option} of the stream, or add the column to the source",
    )


def _check_sequence_column(column: SourceColumn, form: ColumnMapping) -> None:
    ordered = form.required and parse_type(column.type).name not in UNORDERED
    if not ordered or not form.iceberg_type.is_primitive or isinstance(form.iceberg_type, FloatType | DoubleType):
        raise UnsupportedTypeError(
            f"sequence_columns: column {column.name!r} has the type {column.type}, which does not order"
            " all its values (NULL and NaN compare with nothing, containers are not compared)",
            remedy="name columns that are neither Nullable, Float, Array, Map, Tuple, JSON nor Variant, or none at all",
        )


def map_source(stream: Stream, columns: Sequence[SourceColumn], *, source_uuid: UUID | None = None) -> TableMapping:
    """Map all columns of a stream's source as the stream is configured; see :func:`map_table`."""
    return map_table(
        columns,
        timestamp_column=stream.timestamp_column,
        sequence_columns=stream.sequence_columns,
        chosen=dict(stream.columns),
        source_uuid=source_uuid,
    )


def map_table(
    columns: Sequence[SourceColumn],
    *,
    timestamp_column: str,
    sequence_columns: Sequence[str] = (),
    chosen: Mapping[str, As] = _NO_CHOICE,
    source_uuid: UUID | None = None,
) -> TableMapping:
    """Map all columns of a source table; with its UUID, if queries are to refuse another table under its name.

    Args:
        columns: the source's columns, in their order.
        timestamp_column: the time column.
        sequence_columns: what orders the rows of an instant.
        chosen: what columns become whose type leaves a choice, by name.
        source_uuid: UUID of the table.

    Raises:
        SourceMissingError: if the time column, a sequence column or a chosen one does not exist.
        TimeColumnError: if the time column is Nullable, no time, or finer than a microsecond.
        UnsupportedTypeError: if a column has no exact counterpart in Iceberg, naming column, type and choices.
    """
    timestamp = _find(columns, timestamp_column, "timestamp_column")
    sequence = [_find(columns, name, "sequence_columns") for name in sequence_columns]
    try:
        time_type(timestamp.type)
    except ValueError as error:
        raise TimeColumnError(
            f"timestamp_column: column {timestamp.name!r} has the type {timestamp.type}: {error}",
            remedy=(
                "name a column of the type Date, Date32, DateTime or DateTime64(0 to 6), not Nullable"
                f" (the source has {', '.join(f'{column.name} {column.type}' for column in columns)})"
            ),
        ) from error
    for name in chosen:
        _find(columns, name, "columns")
    ids = count(len(columns) + 1)
    mapping = TableMapping(
        columns=tuple(map_column(column, ids, chosen.get(column.name)) for column in columns), source_uuid=source_uuid
    )
    by_name = {column.name: column for column in mapping.columns}
    for column in sequence:
        _check_sequence_column(column, by_name[column.name])
    return mapping
