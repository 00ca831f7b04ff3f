"""The queries that read rows with their digest: the same expressions over the table and over the files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from consumer.domain.batch import SequenceRange, Unit
from consumer.domain.clickhouse_sql import quote_name, quote_text, read_rows, read_system
from consumer.domain.mapping import ColumnMapping, TableMapping
from consumer.domain.reconcile import LateRow
from consumer.domain.stream import Stream
from consumer.domain.time_type import time_type
from consumer.domain.type_mapping import DIGEST_COLUMN
from consumer.domain.window import Window

TYPES_CHANGED = "icehaul: the columns' types have changed since the table was described"
"""What the message of a query says that met columns of other types than the mapped ones."""

TABLE_CHANGED = "icehaul: the name means another table than the described one"
"""What the message of a query says that met another table than the mapped one."""

_SPACE = re.compile(r"\s")

DISTRIBUTED_SETTINGS: Mapping[str, str | int] = MappingProxyType(
    {
        "skip_unavailable_shards": 0,
        "optimize_skip_unused_shards": 0,
        "distributed_group_by_no_merge": 0,
        # One replica for each shard, the same one for every query while it answers, and never one that is behind.
        "load_balancing": "in_order",
        "use_hedged_requests": 0,
        "max_parallel_replicas": 1,
        "max_replica_delay_for_distributed_queries": 1,
        "fallback_to_stale_replicas_for_distributed_queries": 0,
    }
)
"""Settings for every query where the source tables are read over a cluster; all exist since ClickHouse 24.3."""

READ_SETTINGS: Mapping[str, str | int] = MappingProxyType(
    {
        # Text arrives as Arrow utf8, not as binary, dictionary or fixed-length list.
        "output_format_arrow_string_as_string": 1,
        "output_format_arrow_low_cardinality_as_dictionary": 0,
        "output_format_arrow_fixed_string_as_fixed_byte_array": 1,
        # A profile of the user must not be able to shorten a result without an error.
        "final": 0,
        "limit": 0,
        "offset": 0,
        "read_overflow_mode": "throw",
        "result_overflow_mode": "throw",
        "timeout_overflow_mode": "throw",
        "sort_overflow_mode": "throw",
        "decimal_check_overflow": 1,
        # Where rows are read with FINAL, a filter must see the versions that are left, and not choose among all.
        "optimize_move_to_prewhere_if_final": 0,
        "use_skip_indexes_if_final": 0,
        # Rows that have arrived meanwhile would be missing.
        "use_query_cache": 0,
    }
)
"""Settings for every query of this module; all exist since ClickHouse 24.3."""

LONG_QUERY_BYTES = 64 * 1024 * 1024
"""``max_query_size`` of queries that name up to a hundred thousand rows, or every file; the default is 256 KiB."""

UNIT_SETTINGS: Mapping[str, str | int] = MappingProxyType(
    {
        **READ_SETTINGS,
        # It names late rows by their hashes.
        "max_query_size": LONG_QUERY_BYTES,
    }
)
"""Settings for the query that reads a unit; a query can't change this one of itself."""


def sequence_key(column: ColumnMapping) -> str:
    """Return the expression that writes a sequence column's value as text, as :func:`unit_query` takes it back."""
    name = quote_name(column.name)
    if _is_instant(column):
        return f"toString(toTimeZone({name}, 'UTC'))"
    return f"toString({name})"


def unit_query(stream: Stream, mapping: TableMapping, unit: Unit) -> str:
    """Return the query that reads a unit: every column's wire value, then the row's hash as ``_icehaul_digest``.

    Values and hash come from one reading of the table, so the hashes describe exactly the rows that were read.
    Rows come as the server reads them: block by block in the order of its primary key. Sorting whole rows would
    cost the server, or the task, more than reading them.
    """
    query = with_digest(mapping, unit_rows(stream, mapping, unit))
    return query if unit.late is None else _only_late(query, unit.late)


def unit_rows(stream: Stream, mapping: TableMapping, unit: Unit) -> str:
    """Return the query of all columns' wire values of all rows in a unit's window and range."""
    where = window_condition(stream, mapping, unit.window)
    if unit.sequence is not None:
        where += _sequence_condition(stream, mapping, unit.sequence)
    guards = f"{unchanged(stream, mapping)} AND {no_column_added(stream, mapping)}"
    return wire_rows(mapping, f"{read_rows(stream)} WHERE {where} AND {guards}")


def with_digest(mapping: TableMapping, rows: str) -> str:
    """Return the query of all columns of ``rows``, a query of wire values, and the row's hash as the last one."""
    names = ", ".join(quote_name(column.name) for column in mapping.columns)
    return f"SELECT {names}, {mapping.digest_sql()} AS {quote_name(DIGEST_COLUMN)} FROM ({rows})"


def _only_late(query: str, late: Sequence[LateRow]) -> str:
    """Return the query of those rows of ``query`` that are late, each as often as it is.

    Rows with the same hash are the same row, so any of them will do. Literals of many numbers are read at once.
    """
    digest = quote_name(DIGEST_COLUMN)
    hashes = f"CAST([{', '.join(str(row.hash) for row in late)}] AS Array(UInt64))"
    times = f"CAST([{', '.join(str(row.rows) for row in late)}] AS Array(UInt64))"
    numbered = (
        f"SELECT *, row_number() OVER (PARTITION BY {digest}) AS _icehaul_number FROM ({query})"
        f" WHERE {digest} IN {hashes}"
    )
    allowed = f"transform({digest}, {hashes}, {times}, toUInt64(0))"
    return f"SELECT * EXCEPT (_icehaul_number) FROM ({numbered}) WHERE _icehaul_number <= {allowed}"


def wire_rows(mapping: TableMapping, source: str) -> str:
    """Return the query of all columns' wire values from ``source`` (what follows ``FROM``).

    The filter stands in a query of its own around the raw columns: beside the conversions a name would mean
    the converted value, and the primary key could not be used.
    """
    raw = ", ".join(quote_name(column.name) for column in mapping.columns)
    wire = ", ".join(f"{column.read_sql} AS {quote_name(column.name)}" for column in mapping.columns)
    return f"SELECT {wire} FROM (SELECT {raw} FROM {source})"


def file_rows(mapping: TableMapping, source: str) -> str:
    """Return the query of all columns' wire values from data files; ``source`` is a table function."""
    source = lenient(mapping, source)
    wire = ", ".join(f"{column.file_sql} AS {quote_name(column.name)}" for column in mapping.columns)
    return f"SELECT {wire} FROM {source}"


def lenient(mapping: TableMapping, source: str, extra: str = "") -> str:
    """Return what to read of a data file after ``FROM``: one that may lack columns has their defaults, or NULL.

    ``extra`` are expressions over the columns as they stand in the file, for a query that needs them besides.
    """
    if not mapping.partial and not extra:
        return source
    settings = " SETTINGS input_format_parquet_allow_missing_columns = 1" if mapping.partial else ""
    return f"(SELECT *{extra} FROM {source}{settings})"


def file_structure(mapping: TableMapping) -> str:
    """Return the structure with which ClickHouse reads a data file (not quoted as a literal)."""
    stored = (one for column in mapping.columns for one in column.stored or ((column.name, column.file_type),))
    return ", ".join(f"{quote_name(name)} {type_}" for name, type_ in stored)


def fingerprint_query(mapping: TableMapping, rows: str) -> str:
    """Return the query of count and digest (columns ``rows``, ``digest``) over a query of wire values."""
    hashes = f"SELECT {mapping.digest_sql()} AS _icehaul_hash FROM ({rows})"
    return f"SELECT count() AS rows, sum(_icehaul_hash) AS digest FROM ({hashes})"


def file_fingerprint_query(mapping: TableMapping, rows: str) -> str:
    """Return the same over a query of wire values out of data files."""
    return f"SELECT count() AS _icehaul_rows, sum({mapping.file_digest_sql()}) AS _icehaul_digest FROM ({rows})"


def window_condition(stream: Stream, mapping: TableMapping, window: Window) -> str:
    """Return the condition that a source row lies in a window."""
    column = _column(mapping, stream.timestamp_column)
    return time_type(column.source_type).predicate(quote_name(column.name), window)


def unchanged(stream: Stream, mapping: TableMapping) -> str:
    """Return a condition that is true, or fails the query because it would not read what was mapped."""
    return f"{types_unchanged(mapping)} AND {table_unchanged(stream, mapping)}"


def table_unchanged(stream: Stream, mapping: TableMapping) -> str:
    """Return a condition that is true, or fails the query because its table has been exchanged or made anew.

    ClickHouse finds a table by its name alone. This is a query of its own, so it is run once, after the name was
    looked up, and also where no row is read: an empty table in the place of a full one must not pass for "no rows".
    """
    if mapping.source_uuid is None:
        return "1"
    name = stream.source
    if name.cluster is not None:
        changed = f"{shards_identity()} != {quote_text(mapping.source_uuid.hex)}"
        return (
            f"(SELECT throwIf({changed}, {quote_text(TABLE_CHANGED)})"
            f" FROM {read_system(name, 'tables')}"
            f" WHERE database = {quote_text(name.database)} AND name = {quote_text(name.table)}) = 0"
        )
    return (
        f"(SELECT throwIf(count() != 1, {quote_text(TABLE_CHANGED)}) FROM system.tables"
        f" WHERE database = {quote_text(name.database)} AND name = {quote_text(name.table)}"
        f" AND toString(uuid) = {quote_text(str(mapping.source_uuid))}) = 0"
    )


def shards_identity() -> str:
    """Return the aggregate over ``system.tables`` of all shards that identifies a table of a cluster."""
    shards = "arraySort(groupArray(concat(toString(_shard_num), '=', toString(uuid))))"
    return f"lower(substring(hex(SHA256(arrayStringConcat({shards}, '|'))), 1, 32))"


def types_unchanged(mapping: TableMapping) -> str:
    """Return a condition that is true, or fails the query because a column's type is no longer the mapped one.

    Without it, a column that was widened after it was mapped would be cast to the narrower type, and wrap.
    It does not depend on rows: ClickHouse computes it once for each block, and prunes as without it. That holds
    for comparisons of single names; joined into one text they were computed for each row, at half the cost of reading.
    """
    differs = " OR ".join(_differs(column) for column in mapping.columns)
    return f"throwIf({differs}, {quote_text(TYPES_CHANGED)}) = 0"


def no_column_added(stream: Stream, mapping: TableMapping) -> str:
    """Return a condition that is true, or fails the query because the table has a column that was not mapped.

    Without it, what rows hold of a column that was added after it was mapped would be left out. It does not depend on
    rows, and is asked once.
    """
    if mapping.source_uuid is None:
        return "1"
    name = stream.source
    names = ", ".join(quote_text(column) for column in sorted(column.name for column in mapping.columns))
    return (
        f"(SELECT throwIf(arraySort(groupUniqArray(name)) != [{names}], {quote_text(TYPES_CHANGED)})"
        f" FROM {read_system(name, 'columns')}"
        f" WHERE database = {quote_text(name.database)} AND table = {quote_text(name.table)}"
        " AND default_kind NOT IN ('ALIAS', 'EPHEMERAL')) = 0"
    )


def _differs(column: ColumnMapping) -> str:
    """Return the condition that a column's type is another one, however the server lays out its name."""
    found = f"replaceRegexpAll(toTypeName({quote_name(column.name)}), '\\\\s', '')"
    return f"{found} != {quote_text(_SPACE.sub('', column.source_type))}"


def _sequence_condition(stream: Stream, mapping: TableMapping, sequence: SequenceRange) -> str:
    columns = [_column(mapping, name) for name in stream.sequence_columns]
    key = _tuple([quote_name(column.name) for column in columns])
    condition = ""
    for operator, bound in ((">=", sequence.lower), ("<", sequence.upper)):
        if bound is not None:
            values = _tuple([_literal(column, text) for column, text in zip(columns, bound, strict=True)])
            condition += f" AND {key} {operator} {values}"
    return condition


def _tuple(expressions: list[str]) -> str:
    """Return a tuple; one expression stays bare, so that the primary key can be used."""
    return expressions[0] if len(expressions) == 1 else f"tuple({', '.join(expressions)})"


def _literal(column: ColumnMapping, text: str) -> str:
    if _is_instant(column):
        return f"CAST({quote_text(text)} AS DateTime64(6, 'UTC'))"
    return f"CAST({quote_text(text)} AS {column.source_type})"


def _is_instant(column: ColumnMapping) -> bool:
    return column.wire_type.startswith("DateTime64")


def _column(mapping: TableMapping, name: str) -> ColumnMapping:
    return next(column for column in mapping.columns if column.name == name)
