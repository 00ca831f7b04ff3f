"""A look at a ClickHouse server without knowing any stream: the server itself, its tables, their time columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from consumer.adapters.clickhouse.client import ClickHouseConnection, Row, load_sql
from consumer.adapters.clickhouse.errors import file_error
from consumer.adapters.clickhouse.files import FILE_SETTINGS, FileReader
from consumer.adapters.clickhouse.grants import granted, lacking, to_move_rows
from consumer.adapters.clickhouse.shards import read_shards
from consumer.domain.clickhouse_sql import quote_name, quote_table, read_table
from consumer.domain.errors import IcehaulError, SourceMissingError
from consumer.domain.stream import TableName
from consumer.domain.table_facts import ColumnFacts, EventObject, EventRefresh, TableFacts, ValueRange
from consumer.domain.time_type import from_micros
from consumer.settings.connections import ClickHouseSettings

_RANGE_SECONDS = 10
"""How long the first and last instants of one table may take: they are a convenience."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickHouseServer:
    """The server as it describes itself."""

    version: str
    time_zone: str
    now: datetime


class ClickHouseIntrospection:
    """Reads system tables; every method is one query or two."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._connection = ClickHouseConnection(settings, {})
        self._cluster = settings.cluster

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def server(self) -> ClickHouseServer:
        """Return version, time zone and time of the server."""
        ((version, zone, micros),) = self._connection.rows(
            "SELECT version(), serverTimezone(), toUnixTimestamp64Micro(now64(6))"
        )
        return ClickHouseServer(version=str(version), time_zone=str(zone), now=from_micros(int(micros)))

    def tables(self, database: str) -> Sequence[TableFacts]:
        """Describe the tables and views of a database that the user may see, by name.

        Raises:
            SourceMissingError: if there is no such database.
            AccessDeniedError, SourceUnavailableError
        """
        known = [str(name) for (name,) in self._connection.rows("SELECT name FROM system.databases ORDER BY name")]
        if database not in known:
            raise SourceMissingError(
                f"there is no database {database!r} that the user may see at {self._connection.address}",
                remedy=f"name one of: {', '.join(known)}; or grant SHOW TABLES on it",
            )
        return [_facts(database, row) for row in self._tables(database, "")]

    def table(self, name: TableName) -> TableFacts | None:
        """Describe one table; ``None`` where there is none that the user may see."""
        rows = self._tables(name.database, name.table)
        return _facts(name.database, rows[0]) if rows else None

    def ranges(self, table: TableName, columns: Sequence[str]) -> Mapping[str, ValueRange]:
        """Return first and last value of time columns; nothing where the table is empty or it takes too long."""
        if not columns:
            return {}
        parts = [
            f"toUnixTimestamp64Micro(CAST({function}({quote_name(column)}) AS DateTime64(6, 'UTC')))"
            for column in columns
            for function in ("min", "max")
        ]
        query = f"SELECT count(), {', '.join(parts)} FROM {quote_table(table)}"
        try:
            ((rows, *bounds),) = self._connection.rows(query, settings={"max_execution_time": _RANGE_SECONDS})
        except IcehaulError:
            return {}
        if not rows:
            return {}
        return {
            column: ValueRange(first=from_micros(int(first)), last=from_micros(int(last)))
            for column, first, last in zip(columns, bounds[::2], bounds[1::2], strict=True)
        }

    def sum_of_file(self, files: FileReader, path: str, structure: str) -> int:
        """Return the sum of the only column of a Parquet file on the store, as ClickHouse reads it by ``s3()``.

        Raises:
            StoreUnavailableError: if ClickHouse does not reach the store.
            AccessDeniedError: if the store's key or the user's grants do not allow it.
            CheckFailedError: if the file is missing or has other columns.
        """
        column = quote_name(structure.split(maxsplit=1)[0])
        ((total,),) = self._connection.rows(
            f"SELECT sum({column}) FROM {files.source(path, structure)}",
            settings=FILE_SETTINGS,
            secrets=files.secrets,
            meaning=file_error,
        )
        return int(total)

    def answering(self) -> Mapping[int, str]:
        """Return which host answers for each shard of the configured cluster; none where there is no cluster.

        Raises:
            ConfigurationError: if the server knows no cluster of this name.
            SourceUnavailableError: if a shard does not answer.
        """
        cluster = self._cluster
        if cluster is None:
            return {}
        read_shards(self._connection, cluster)
        servers = TableName(database="system", table="one", cluster=cluster)
        rows = self._connection.rows(f"SELECT _shard_num, hostName() FROM {read_table(servers)} ORDER BY _shard_num")
        return {int(shard): str(host) for shard, host in rows}

    def may_not_move_rows(self, database: str) -> Sequence[str]:
        """Return what keeps the user from moving rows between tables of a database; nothing where it may.

        Nothing is told of servers (before 24.10) that can't tell.
        """
        ((readonly,),) = self._connection.rows("SELECT getSetting('readonly')")
        missing = lacking(partial(granted, self._connection), to_move_rows(database))
        return [*(["a user without readonly"] if int(readonly) else []), *missing]

    def event_objects(self) -> Sequence[EventObject]:
        """Return the tables and views by which the server makes events itself, in any database that the user sees."""
        rows = self._connection.rows(load_sql("event_objects"))
        return [EventObject(database=database, name=name, engine=engine) for database, name, engine in rows]

    def event_refreshes(self) -> Sequence[EventRefresh]:
        """Return what came of the last refresh of those views; asks for nothing where there are none.

        Raises:
            AccessDeniedError: if there are some, and the user may not read system.view_refreshes.
        """
        views = {(one.database, one.name) for one in self.event_objects() if one.is_view}
        rows = self._connection.rows(load_sql("event_refreshes")) if views else ()
        return [
            EventRefresh(
                view=f"{database}.{name}", exception=exception, duration=timedelta(milliseconds=int(milliseconds))
            )
            for database, name, exception, milliseconds in rows
            if (database, name) in views
        ]

    def _tables(self, database: str, table: str) -> Sequence[Row]:
        return self._connection.rows(load_sql("introspect_tables"), parameters={"database": database, "table": table})


def _facts(database: str, row: Row) -> TableFacts:
    name, engine, engine_full, create, partition_key, sorting_key, rows, size, has_uuid, columns = row
    return TableFacts(
        database=database,
        table=str(name),
        engine=str(engine),
        engine_full=str(engine_full),
        create_query=str(create),
        partition_key=str(partition_key),
        sorting_key=str(sorting_key),
        rows=None if rows is None else int(rows),
        bytes=None if size is None else int(size),
        has_uuid=bool(has_uuid),
        columns=tuple(
            ColumnFacts(name=column, type=type_, kind=kind, comment=comment) for column, type_, kind, comment in columns
        ),
    )
