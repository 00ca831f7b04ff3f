"""The server's part in restoring: it reads data files back into its own types, and moves what it has written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial

from consumer.adapters.clickhouse.client import ClickHouseConnection, load_sql
from consumer.adapters.clickhouse.comparison import COMPARISON_SETTINGS, FileComparison
from consumer.adapters.clickhouse.counting import FileCounting
from consumer.adapters.clickhouse.errors import file_error
from consumer.adapters.clickhouse.files import FileReader
from consumer.adapters.clickhouse.grants import granted, lacking, to_move_rows
from consumer.adapters.clickhouse.shards import refuse_cluster
from consumer.adapters.clickhouse.tables import describe_table
from consumer.adapters.clickhouse.tallies import tally
from consumer.domain.clickhouse_error import source_error
from consumer.domain.clickhouse_sql import quote_table, quote_text
from consumer.domain.errors import ConfigurationError, IcehaulError, StreamError
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.restore import RestoreMark, is_staging, staging_prefix
from consumer.domain.restore_query import RESTORE_SETTINGS, insert_statement
from consumer.domain.stream import Stream, TableName
from consumer.domain.table_ttl import has_column_ttl, has_table_ttl
from consumer.domain.time_type import from_micros
from consumer.domain.unit_query import READ_SETTINGS, file_structure
from consumer.domain.window import Window
from consumer.ports import SourceTable
from consumer.service.restoring.ports import DataFile
from consumer.settings.connections import ClickHouseSettings, StoreSettings

_ATOMIC = frozenset({"Atomic", "Replicated", "Shared"})
_EXISTS = 57
# What one statement reads: enough to keep a server busy, and far from what a time limit allows.
_STATEMENT_BYTES = 256 * 1024 * 1024
_STATEMENT_FILES = 64


class ClickHouseRestoring:
    """Implements :class:`consumer.service.restoring.ports.RestoreServer`; not thread-safe.

    A statement that changes something is sent once: whether one landed whose answer was lost is for the next run to
    find out.
    """

    def __init__(self, settings: ClickHouseSettings, store: StoreSettings) -> None:
        refuse_cluster(
            settings,
            "restoring",
            "run the command with a configuration that names one server, and distribute the rows from there",
        )
        self._connection = ClickHouseConnection(settings, READ_SETTINGS)
        self._files = FileReader(settings, store)
        self._comparison = FileComparison(self._connection, self._files)
        self._counting = FileCounting(self._connection, self._files)

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def describe(self, table: TableName) -> SourceTable | None:
        """Describe a MergeTree table; ``None`` where there is no table of this name.

        Raises:
            ConfigurationError: if there is no such database, or one that can't rename a table at once.
            StreamError: if a TTL of the table resets values of single columns.
            SourceMissingError: if the table is of another kind.
        """
        place = {"database": table.database, "table": table.table}
        rows = self._connection.rows(load_sql("view_place"), parameters=place)
        if not rows or rows[0][0] not in _ATOMIC:
            what = f"has the engine {rows[0][0]}" if rows else "does not exist, or the user may not see it"
            raise ConfigurationError(
                f"--into {table}: the database {table.database} {what}",
                remedy=f"name a database with one of the engines {', '.join(sorted(_ATOMIC))}",
            )
        if not rows[0][1]:
            return None
        described = describe_table(self._connection, table)
        ((query,),) = self._connection.rows(load_sql("restore_definition"), parameters=place)
        if has_column_ttl(query):
            raise StreamError(
                f"--into {table}: the TTL of a column resets values there, so restored rows would not stay as they are",
                remedy="name a table that does not exist, with --create, which makes one without TTLs",
            )
        return described

    def now(self) -> datetime:
        """Return the server's time in UTC."""
        ((micros,),) = self._connection.rows("SELECT toUnixTimestamp64Micro(now64(6))")
        return from_micros(int(micros))

    def lacking(self, into: TableName) -> Sequence[str]:
        """Return the grants that the user lacks; none where the server (before 24.10) can't tell."""
        return lacking(partial(granted, self._connection), to_move_rows(into.database))

    def tally_files(
        self, stream: Stream, mapping: TableMapping, windows: Sequence[Window], files: Sequence[DataFile]
    ) -> Sequence[Fingerprint]:
        """Return count and digest of the files' rows in contiguous windows."""
        return self._counting.tally(stream, mapping, windows, [file.path for file in files])

    def tally(self, stream: Stream, mapping: TableMapping, windows: Sequence[Window]) -> Sequence[Fingerprint]:
        """Return count and digest of the rows of the stream's source in contiguous windows."""
        return tally(self._connection, stream, mapping, windows, exact=True)

    def difference(
        self, stream: Stream, mapping: TableMapping, window: Window, files: Sequence[DataFile]
    ) -> tuple[int, int]:
        """Return how many rows of a window stand in the stream's source only, and in the files only."""
        paths = [file.path for file in files]
        found = self._comparison.difference(stream, mapping, window, paths, not_before=None, sorting_key="")
        return found.missing, found.surplus

    def first_instant(self, stream: Stream, mapping: TableMapping, files: Sequence[DataFile]) -> datetime | None:
        """Return the instant of the first row of files."""
        return self._counting.extent(stream, mapping, [file.path for file in files]).first

    def stagings(self, into: TableName) -> Sequence[tuple[TableName, RestoreMark]]:
        """Return the staging tables of runs for this table: those with a name and a comment of icehaul's."""
        return [(table, mark) for table, mark, _ in self._stagings(into)]

    def create(self, into: TableName, staging: TableName, statement: str) -> None:
        """Make a staging table by this statement, and take the TTL from it that it may have got."""
        self._connection.run(statement, settings=RESTORE_SETTINGS)
        if any(table == staging and has_table_ttl(engine) for table, _, engine in self._stagings(into)):
            self._connection.run(f"ALTER TABLE {quote_table(staging)} REMOVE TTL")

    def insert(
        self, stream: Stream, mapping: TableMapping, staging: TableName, window: Window, files: Sequence[DataFile]
    ) -> None:
        """Put the rows of files that lie in a window into a staging table, in the table's types."""
        structure = file_structure(mapping)
        for some in _chunked(files):
            sources = [self._files.source(file.path, structure) for file in some]
            self._connection.run(
                insert_statement(stream, mapping, staging, window, sources),
                settings={**COMPARISON_SETTINGS, **RESTORE_SETTINGS},
                secrets=self._files.secrets,
                meaning=file_error,
            )

    def partitions(self, table: TableName) -> Sequence[str]:
        """Return the ids of a table's non-empty partitions."""
        place = {"database": table.database, "table": table.table}
        return [str(id_) for (id_,) in self._connection.rows(load_sql("restore_partitions"), parameters=place)]

    def move(self, partition: str, staging: TableName, into: TableName) -> None:
        """Move a partition from one table to the other, at once."""
        self._connection.run(
            f"ALTER TABLE {quote_table(staging)} MOVE PARTITION ID {quote_text(partition)} TO TABLE {quote_table(into)}"
        )

    def rename(self, table: TableName, name: TableName) -> None:
        """Give a table another name, which nothing may have."""
        self._connection.run(f"RENAME TABLE {quote_table(table)} TO {quote_table(name)}", meaning=_rename_error)

    def remove(self, staging: TableName) -> None:
        """Drop a staging table, once no query of it is left."""
        self._connection.run(f"DROP TABLE IF EXISTS {quote_table(staging)} SYNC")

    def _stagings(self, into: TableName) -> list[tuple[TableName, RestoreMark, str]]:
        place = {"database": into.database, "prefix": staging_prefix(into)}
        found = []
        for name, comment, engine in self._connection.rows(load_sql("restore_stagings"), parameters=place):
            mark = RestoreMark.parse(comment)
            if mark is not None and is_staging(into, name):
                found.append((TableName(database=into.database, table=name), mark, str(engine)))
        return found


def _chunked(files: Sequence[DataFile]) -> Iterator[Sequence[DataFile]]:
    """Yield the files by the statement that reads them: one at least, and no more than a statement should read."""
    chunk: list[DataFile] = []
    for file in files:
        full = len(chunk) == _STATEMENT_FILES or sum(one.bytes for one in chunk) + file.bytes > _STATEMENT_BYTES
        if chunk and full:
            yield chunk
            chunk = []
        chunk.append(file)
    if chunk:
        yield chunk


def _rename_error(address: str, code: int | None, text: str) -> IcehaulError:
    if code == _EXISTS:
        return StreamError(
            f"ClickHouse at {address} has got a table of this name meanwhile: {text[:500]}",
            remedy="run the command again: it compares what stands there",
        )
    return source_error(address, code, text)
