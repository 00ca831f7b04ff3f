"""The statements that restore rows: the way back from data files to ClickHouse's own types, and the table for it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from types import MappingProxyType

from consumer.domain.clickhouse_sql import quote_name, quote_table, quote_text
from consumer.domain.clickhouse_type import parse_type
from consumer.domain.errors import StreamError
from consumer.domain.late_query import cold_rows
from consumer.domain.mapping import ColumnMapping, SourceColumn, TableMapping
from consumer.domain.stream import Stream, TableName
from consumer.domain.type_choices import As
from consumer.domain.type_forms import FormMapper, UnsupportedFormError
from consumer.domain.type_mapping import map_table
from consumer.domain.window import PartitionBy, Window

RESTORE_SETTINGS: Mapping[str, str | int] = MappingProxyType(
    {
        # Rows arrive as they are: none is left out for looking like an earlier one, none is merged with another.
        "insert_deduplicate": 0,
        "optimize_on_insert": 0,
        "async_insert": 0,
        "insert_null_as_default": 0,
        "insert_allow_materialized_columns": 1,
        "max_partitions_per_insert_block": 0,
        # The source's types were allowed when its table was made.
        "allow_suspicious_low_cardinality_types": 1,
        "allow_suspicious_variant_types": 1,
        "allow_experimental_variant_type": 1,
        "allow_experimental_dynamic_type": 1,
        "allow_experimental_json_type": 1,
        "allow_experimental_qbit_type": 1,
        "allow_experimental_bfloat16_type": 1,
        "enable_time_time64_type": 1,
        "flatten_nested": 0,
    }
)
"""Settings of every statement that makes a table for restored rows or fills it, where the server knows them."""

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def restored_mapping(stream: Stream, columns: Sequence[SourceColumn]) -> TableMapping:
    """Map columns as the stream chose to; a choice counts where the type has it.

    Raises:
        StreamError: as :func:`consumer.domain.type_mapping.map_table` does.
    """
    chosen = dict(taken_choices(stream, columns))
    return map_table(columns, timestamp_column=stream.timestamp_column, chosen=chosen)


def taken_choices(stream: Stream, columns: Sequence[SourceColumn]) -> tuple[tuple[str, As], ...]:
    """Return the stream's choices for columns that are there, where their types have them."""
    types = {column.name: column.type for column in columns}
    return tuple((name, choice) for name, choice in stream.columns if name in types and _takes(types[name], choice))


def _takes(type_: str, choice: As) -> bool:
    """Tell whether a type has a choice, somewhere in it; one that can't be mapped is refused elsewhere."""
    mapper = FormMapper(count(1), choice)
    try:
        mapper.form(parse_type(type_))
    except (UnsupportedFormError, ValueError):
        return True
    return mapper.used


def destination_mapping(
    stream: Stream,
    mapping: TableMapping,
    table: TableName,
    columns: Sequence[SourceColumn],
    *,
    optional: Collection[str] = (),
) -> TableMapping:
    """Map those columns of a table that are restored, in the order in which they enter the digest.

    Args:
        stream: the stream.
        mapping: the columns that are restored, as the source has, or had, them.
        table: the table.
        columns: its columns; what it has besides gets its default.
        optional: columns that it may lack: the source has dropped them.

    Raises:
        StreamError: if a column is missing, or would not hold all values of its kind in the same form.
    """
    present = {column.name: column for column in columns}
    wanted = [column for column in mapping.columns if column.name in present or column.name not in optional]
    for column in wanted:
        if column.name not in present:
            raise _unfit(column, table, "has no such column")
    there = restored_mapping(stream, [_with_default(present[column.name], column.default_sql) for column in wanted])
    for column, found in zip(wanted, there.columns, strict=True):
        if (found.wire_type, found.digest_sql) != (column.wire_type, column.digest_sql):
            raise _unfit(column, table, f"has it as {found.source_type}")
    return there


def _with_default(column: SourceColumn, default: str) -> SourceColumn:
    """Return a column with the source's DEFAULT, whatever the table's own is: a second run has to find the same."""
    return replace(column, default=default or column.default)


def _unfit(column: ColumnMapping, table: TableName, what: str) -> StreamError:
    return StreamError(
        f"column {column.name} ({column.source_type}) can't be restored into {table}, which {what}",
        remedy=f"make it {column.source_type} there; or name a table that does not exist, with --create",
    )


def lost_columns(stream: Stream, mapping: TableMapping) -> Mapping[str, str]:
    """Return what is gone for good of columns that were not kept exactly, by column."""
    chosen = dict(stream.columns)
    lost = {}
    for column in mapping.columns:
        mapper = FormMapper(count(1), chosen.get(column.name), from_wire=True)
        mapper.form(parse_type(column.source_type))
        if mapper.lost is not None:
            lost[column.name] = mapper.lost
    return lost


def insert_statement(
    stream: Stream, mapping: TableMapping, table: TableName, window: Window, sources: Sequence[str]
) -> str:
    """Return the statement that puts the rows of files that lie in a window into a table.

    Args:
        stream: the stream.
        mapping: the table's columns, those that the files have.
        table: the table.
        window: the stretch of time.
        sources: table functions, each of which reads a file.
    """
    names = ", ".join(quote_name(column.name) for column in mapping.columns)
    values = ", ".join(restored_value(stream, column) for column in mapping.columns)
    rows = " UNION ALL ".join(cold_rows(stream, mapping, window, source) for source in sources)
    return f"INSERT INTO {quote_table(table)} ({names}) SELECT {values} FROM ({rows})"


def restored_value(stream: Stream, column: ColumnMapping) -> str:
    """Return the expression over a column's wire value that yields the value in the column's own type."""
    mapper = FormMapper(count(1), dict(stream.columns).get(column.name), from_wire=True)
    form = mapper.form(parse_type(column.source_type))
    return form.restore(quote_name(column.name), column.source_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableLayout:
    """How a table is laid out: ClickHouse expressions, empty where there is none."""

    partition_key: str
    sorting_key: str


def layout_of(stream: Stream, order: Sequence[str]) -> TableLayout:
    """Return the layout of a table whose source is gone: months, and the order of rows in the target's files.

    ``order`` are the columns that the target sorts by, none where it does not.
    """
    time = quote_name(stream.timestamp_column)
    parts = "" if stream.partition_by is PartitionBy.NONE else f"toYYYYMM({time})"
    keys = order or (stream.timestamp_column, *stream.sequence_columns)
    return TableLayout(partition_key=parts, sorting_key=", ".join(quote_name(name) for name in dict.fromkeys(keys)))


def create_statement(table: TableName, mapping: TableMapping, layout: TableLayout, *, comment: str = "") -> str:
    """Return the statement that makes a plain MergeTree table of these columns: it keeps every row as it is."""
    columns = ",\n".join(f"    {quote_name(column.name)} {column.source_type}" for column in mapping.columns)
    statement = f"CREATE TABLE {quote_table(table)}\n(\n{columns}\n)\nENGINE = MergeTree"
    if layout.partition_key:
        statement += f"\nPARTITION BY {layout.partition_key}"
    keys = layout.sorting_key or "tuple()"
    statement += f"\nORDER BY ({keys})" if "," in keys else f"\nORDER BY {keys}"
    if _sorts_null(mapping, layout):
        statement += "\nSETTINGS allow_nullable_key = 1"
    return f"{statement}\nCOMMENT {quote_text(comment)}" if comment else statement


def copy_statement(table: TableName, original: TableName, comment: str) -> str:
    """Return the statement that makes a table like another one."""
    return f"CREATE TABLE {quote_table(table)} AS {quote_table(original)} COMMENT {quote_text(comment)}"


def _sorts_null(mapping: TableMapping, layout: TableLayout) -> bool:
    named = set(_WORD.findall(f"{layout.partition_key} {layout.sorting_key}"))
    return any(column.name in named and "Nullable(" in column.source_type for column in mapping.columns)
