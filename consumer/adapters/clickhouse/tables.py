"""Describing a source table: what it is, and which of its columns make a full row."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from consumer.adapters.clickhouse.client import ClickHouseConnection, load_sql
from consumer.adapters.clickhouse.shards import check_shards, identity
from consumer.domain.clickhouse_sql import read_each, read_table
from consumer.domain.errors import SourceMissingError
from consumer.domain.mapping import SourceColumn
from consumer.domain.stream import TableName
from consumer.domain.table_ttl import has_column_ttl, row_ttls
from consumer.ports import SourceTable

_ENGINE_FAMILY = "MergeTree"
_NOT_STORED = frozenset({"ALIAS", "EPHEMERAL"})


def describe_table(connection: ClickHouseConnection, table: TableName, known: SourceTable | None = None) -> SourceTable:
    """Describe a table, and prove that the user may read all of its columns.

    The proof is left out where the table still looks as in ``known``: a column that the user may no longer
    read would be missing.

    A full row is what the table stores: ordinary, DEFAULT and MATERIALIZED columns. ALIAS columns are
    computed from those when they are read, EPHEMERAL ones are not stored.

    Raises:
        SourceMissingError: if database or table do not exist, or it is no MergeTree table.
        AccessDeniedError: if the user may not read all columns, naming the missing grant.
    """
    rows = connection.rows(
        read_each(table, load_sql("describe_table")), parameters={"database": table.database, "table": table.table}
    )
    if not rows:
        raise _absent(connection, table)
    if table.cluster is not None:
        check_shards(connection, table, rows)
    _, uuid, engine, partition_key, sorting_key, engine_full, server_zone, definition, columns = rows[0]
    for _, each, *_ in rows:
        _check_engine(table, engine, UUID(each))
    described = SourceTable(
        name=table,
        uuid=UUID(uuid) if table.cluster is None else identity((int(row[0]), str(row[1])) for row in rows),
        engine=engine,
        partition_key=partition_key,
        sorting_key=sorting_key,
        columns=_columns(columns, stored=True),
        ttls=row_ttls(engine_full),
        server_zone=server_zone,
        column_ttl=has_column_ttl(definition),
        unstored=_columns(columns, stored=False),
    )
    if described != known:
        # system.columns leaves out what the user may not read, so its list alone could make rows that are not full.
        connection.rows(
            f"SELECT * FROM {read_table(table)} LIMIT 0", settings={"asterisk_include_materialized_columns": 1}
        )
    return described


def _columns(rows: Sequence[Sequence[str]], *, stored: bool) -> tuple[SourceColumn, ...]:
    return tuple(
        SourceColumn(name=name, type=type_, default=default)
        for name, type_, kind, default in rows
        if (kind not in _NOT_STORED) == stored
    )


def _absent(connection: ClickHouseConnection, table: TableName) -> SourceMissingError:
    """Let the server say what is missing: the database, the table, or a grant to see it."""
    try:
        connection.rows(f"SELECT 1 FROM {read_table(table)} LIMIT 0")
    except SourceMissingError as error:
        return SourceMissingError(
            f"source {table} does not exist: {error.message}",
            remedy="correct the stream's source, create the table, or restore it",
        )
    return SourceMissingError(
        f"source {table} is not in system.tables, yet it can be queried",
        remedy="name a MergeTree table of an Atomic or Replicated database that the user may see (SHOW TABLES)",
    )


def _check_engine(table: TableName, engine: str, uuid: UUID) -> None:
    if not engine.endswith(_ENGINE_FAMILY):
        raise SourceMissingError(
            f"source {table} is no table with parts of its own, but has the engine {engine}",
            remedy=(
                f"name the {_ENGINE_FAMILY} table that stores the rows (of a materialized view: its TO table;"
                " of a Distributed table: the local one)"
            ),
        )
    if uuid.int == 0:
        raise SourceMissingError(
            f"source {table} has no UUID, so a table made anew under its name could not be told from it",
            remedy="move it to a database with the engine Atomic or Replicated",
        )
