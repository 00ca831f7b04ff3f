"""Quoting for ClickHouse SQL that is put together from checked parts."""

from __future__ import annotations

from collections.abc import Iterable

from consumer.domain.stream import Mode, Stream, TableName, check_identifier


def quote_name(name: str) -> str:
    """Return a column, database or table name in backticks.

    Raises:
        ValueError: if it is not an allowed identifier.
    """
    return f"`{check_identifier('name', name)}`"


def quote_table(table: TableName) -> str:
    """Return ``database.table``, both parts in backticks: the server's own table.

    Raises:
        ValueError: if the table is one of a cluster, where a statement on one server would be a part of the truth.
    """
    if table.cluster is not None:
        raise ValueError(f"{table} is a table of the cluster {table.cluster}; this statement is for one server")
    return f"{quote_name(table.database)}.{quote_name(table.table)}"


def read_table(table: TableName) -> str:
    """Return what stands after ``FROM`` to read a table: of every shard once, where it is one of a cluster."""
    if table.cluster is None:
        return quote_table(table)
    return f"cluster({quote_text(table.cluster)}, {quote_name(table.database)}, {quote_name(table.table)})"


def read_rows(stream: Stream) -> str:
    """Return what stands after ``FROM`` to read a stream's rows: the one place that says which rows these are.

    With FINAL they do not depend on how far the merges of the table have come.
    """
    return f"{read_table(stream.source)}{' FINAL' if stream.mode is Mode.LATEST_VERSION else ''}"


def read_system(table: TableName, name: str) -> str:
    """Return what stands after ``FROM`` to read a system table of every server that ``table`` is read from."""
    return f"system.{name}" if table.cluster is None else f"cluster({quote_text(table.cluster)}, system, {name})"


def read_each(table: TableName, query: str) -> str:
    """Return the query whose rows are those of ``query``, run on each server that ``table`` is read from."""
    return query if table.cluster is None else f"SELECT * FROM cluster({quote_text(table.cluster)}, view({query}))"


PARTITION_OF_PART = "replaceRegexpOne(partition_id, '^patch-[0-9a-f]{32}-', '')"
"""The partition that a row of ``system.parts`` belongs to: of a patch part, the one that it patches."""


def partition_of(table: TableName, column: str) -> str:
    """Return the expression of a partition's id; of a cluster, ids begin with the shard's number."""
    return column if table.cluster is None else f"concat('shard', toString(_shard_num), '-', {column})"


def in_partitions(table: TableName, ids: Iterable[str]) -> str:
    """Return the condition that a row lies in one of these partitions, so that no other one is read."""
    ordered = sorted(ids)
    condition = f"{partition_of(table, '_partition_id')} IN ({', '.join(map(quote_text, ordered))})"
    if table.cluster is None:
        return condition
    plain = sorted({id_.partition("-")[2] for id_ in ordered})
    return f"_partition_id IN ({', '.join(map(quote_text, plain))}) AND {condition}"


def default_of_type(type_: str) -> str:
    """Return the ClickHouse expression of a type's default value."""
    return f"defaultValueOfTypeName({quote_text(type_)})"


def quote_text(text: str) -> str:
    """Return a ClickHouse string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0")
    return f"'{escaped}'"
