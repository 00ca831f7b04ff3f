"""The queries that compare a window's rows in the table with those in the data files, by full-row hash.

What is computed beside a source's columns has a name that no column has: ClickHouse would take an alias for the column.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from consumer.domain.batch import KeptRows
from consumer.domain.clickhouse_sql import quote_name, quote_text, read_rows
from consumer.domain.mapping import ColumnMapping, TableMapping
from consumer.domain.stream import Stream
from consumer.domain.table_key import named_columns
from consumer.domain.time_type import time_type
from consumer.domain.type_mapping import DIGEST_COLUMN
from consumer.domain.unit_query import file_rows, lenient, unchanged, window_condition, wire_rows, with_digest
from consumer.domain.window import Window


def hot_rows(stream: Stream, mapping: TableMapping, window: Window, partition: str | None = None) -> str:
    """Return the query of the wire values of the table's rows in a window, and in a partition where one is named."""
    condition = f"{window_condition(stream, mapping, window)} AND {unchanged(stream, mapping)}"
    if partition is not None:
        condition += f" AND _partition_id = {quote_text(partition)}"
    return wire_rows(mapping, f"{read_rows(stream)} WHERE {condition}")


def cold_rows(stream: Stream, mapping: TableMapping, window: Window, source: str) -> str:
    """Return the query of the wire values of a file's rows in a window; ``source`` is a table function.

    A file may hold rows of other windows too, once files have been put together.
    """
    return f"SELECT * FROM ({file_rows(mapping, source)}) WHERE {within(stream, mapping, window)}"


def kept_rows(stream: Stream, mapping: TableMapping, kept: KeptRows, source: str) -> str:
    """Return the query of the rows of a file that stay in the table: wire values, then the row's hash.

    What the file lacks stays NULL, whatever stands for it in the hash.
    """
    where = f"NOT ({within(stream, mapping, kept.outside)})"
    if kept.inside is not None:
        where += f" AND {within(stream, mapping, kept.inside)}"
    lacking = {column.name for column in mapping.columns if column.stored}
    if not lacking:
        return with_digest(mapping, f"SELECT * FROM ({file_rows(mapping, source)}) WHERE {where}")
    return _with_lacking(mapping, lacking, source, where)


def _with_lacking(mapping: TableMapping, lacking: Collection[str], source: str, where: str) -> str:
    """Return the query of rows with their hash, and with columns that the file may lack as they stand in it."""
    stored = {name: quote_name(f"_icehaul_stored_{number}") for number, name in enumerate(sorted(lacking))}
    extra = "".join(
        f", {_as_stored(column)} AS {stored[column.name]}" for column in mapping.columns if column.name in stored
    )
    wire = ", ".join(f"{column.file_sql} AS {quote_name(column.name)}" for column in mapping.columns)
    rows = f"SELECT {', '.join((wire, *stored.values()))} FROM {lenient(mapping, source, extra)}"
    kept = [stored.get(column.name, quote_name(column.name)) for column in mapping.columns]
    digest = quote_name(DIGEST_COLUMN)
    hashed = f"SELECT {', '.join(kept)}, {mapping.digest_sql()} AS {digest} FROM (SELECT * FROM ({rows}) WHERE {where})"
    names = ", ".join(
        f"{stored[column.name]} AS {quote_name(column.name)}" if column.name in stored else quote_name(column.name)
        for column in mapping.columns
    )
    return f"SELECT {names}, {digest} FROM ({hashed})"


def _as_stored(column: ColumnMapping) -> str:
    """Return a column's value as it stands in a file, under whichever of its names; NULL where there is none."""
    names = ", ".join(quote_name(name) for name, type_ in column.stored if type_.startswith("Nullable("))
    return f"coalesce({names})" if names else column.file_sql


def file_rows_by_window(stream: Stream, mapping: TableMapping, window: Window, source: str, number: int) -> str:
    """Return the query of number, whether it lies in the window, hash and instant of each row of a file."""
    inside = f"toUInt8({within(stream, mapping, window)})"
    return (
        f"SELECT {number} AS _icehaul_file, {inside} AS _icehaul_inside, {mapping.file_digest_sql()} AS _icehaul_hash,"
        f" {_micros(stream)} AS _icehaul_micros FROM ({file_rows(mapping, source)})"
    )


def within(stream: Stream, mapping: TableMapping, window: Window) -> str:
    """Return the condition that a row of wire values lies in a window."""
    column = next(column for column in mapping.columns if column.name == stream.timestamp_column)
    return time_type(column.wire_type).predicate(quote_name(column.name), window)


def hashes(stream: Stream, mapping: TableMapping, rows: str, sign: int) -> str:
    """Return the query of hash, ``sign`` and instant (in microseconds since the epoch) of rows of wire values.

    The sign of the table's rows is positive, that of the files' rows negative.
    """
    return f"SELECT {_hashed(stream, mapping, sign)} FROM ({rows})"


def keyed_hashes(stream: Stream, mapping: TableMapping, rows: str, sign: int, sorting_key: str) -> str:
    """Return the query of :func:`hashes`, with a hash of the columns that the sorting key names.

    An update leaves these as they are. Without a sorting key all columns are the key: then no row has a counterpart.
    """
    named = named_columns(sorting_key, (column.name for column in mapping.columns))
    parts = tuple(column for column in mapping.columns if column.name in named) or mapping.columns
    keyed = replace(mapping, columns=parts, digest=None, file_digest=None)
    key = keyed.digest_sql() if sign > 0 else keyed.file_digest_sql()
    return f"SELECT {_hashed(stream, mapping, sign)}, {key} AS _icehaul_key FROM ({rows})"


def _hashed(stream: Stream, mapping: TableMapping, sign: int) -> str:
    digest = mapping.digest_sql() if sign > 0 else mapping.file_digest_sql()
    return f"{digest} AS _icehaul_hash, toInt64({sign}) AS _icehaul_sign, {_micros(stream)} AS _icehaul_micros"


def file_instants(stream: Stream, mapping: TableMapping, source: str) -> str:
    """Return the query of a file's instants, in microseconds since the epoch; ``source`` is a table function."""
    return f"SELECT {_micros(stream)} AS _icehaul_micros FROM ({file_rows(mapping, source)})"


def located_rows(stream: Stream, mapping: TableMapping, source: str, path: str) -> str:
    """Return the query of path, hash and instant of each row of data files; ``path`` is an expression of ``source``."""
    extra = f", {path} AS _icehaul_path"
    wire = ", ".join(f"{column.file_sql} AS {quote_name(column.name)}" for column in mapping.columns)
    rows = f"SELECT {wire}, _icehaul_path FROM {lenient(mapping, source, extra)}"
    return (
        f"SELECT _icehaul_path, {mapping.file_digest_sql()} AS _icehaul_hash, {_micros(stream)} AS _icehaul_micros"
        f" FROM ({rows})"
    )


def _micros(stream: Stream) -> str:
    return f"toUnixTimestamp64Micro(CAST({quote_name(stream.timestamp_column)} AS DateTime64(6, 'UTC')))"
