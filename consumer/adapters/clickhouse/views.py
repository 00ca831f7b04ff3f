"""Views over both tiers on the ClickHouse server, and how the server reads an Iceberg table for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from consumer.adapters.clickhouse.client import ClickHouseConnection, Row, load_sql
from consumer.adapters.clickhouse.errors import file_error
from consumer.adapters.clickhouse.files import FILE_PATH, FILE_SETTINGS, FileReader, hides_files
from consumer.adapters.clickhouse.shards import refuse_cluster
from consumer.domain.clickhouse_error import source_error
from consumer.domain.clickhouse_sql import quote_name, quote_table, quote_text
from consumer.domain.errors import AccessDeniedError, CheckFailedError, ConfigurationError, IcehaulError, StreamError
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.stream import Stream, TableName
from consumer.domain.unit_query import READ_SETTINGS, file_rows, file_structure, fingerprint_query
from consumer.domain.view_query import ViewMark, cold_query, view_columns, view_query
from consumer.settings.connections import ClickHouseSettings, StoreSettings

INLINE = "inline"
"""Instead of the name of a named collection: the keys stand in the view."""

_ATOMIC = frozenset({"Atomic", "Replicated", "Shared"})
# Not those of single files: a table's metadata says which columns a file has.
_ICEBERG_SETTINGS = {"s3_retry_attempts": FILE_SETTINGS["s3_retry_attempts"]}
_NO_COLLECTION = 669
_ACCESS_DENIED = 497
# BAD_ARGUMENTS, NUMBER_OF_ARGUMENTS_DOESNT_MATCH, UNKNOWN_FUNCTION, NOT_IMPLEMENTED, SYNTAX_ERROR, UNKNOWN_SETTING,
# SUPPORT_IS_DISABLED
_UNABLE = frozenset({36, 42, 46, 48, 62, 115, 344})
_APART = "query the tiers apart (docs/how-to/query-the-cold-tier.md), or read the cold tier by another engine"
_CHOICES = f"use a server that reads Iceberg tables by a pinned metadata file (tested: 26.9), {_APART}"


class _NoCollectionError(AccessDeniedError):
    """There is no named collection of this name, or none that the user may see."""


class ClickHouseViews:
    """Implements :class:`consumer.service.view.ViewServer`.

    ``collection`` is the named collection that holds the store's keys, or ``INLINE``; without keys in the
    configuration the server uses its own, and there is nothing to hide.
    """

    def __init__(self, settings: ClickHouseSettings, store: StoreSettings, collection: str) -> None:
        refuse_cluster(
            settings, "a view over both tiers", "query the tiers apart; see docs/how-to/query-the-cold-tier.md"
        )
        self._connection = ClickHouseConnection(settings, READ_SETTINGS)
        self._files = FileReader(settings, store)
        self._collection = collection

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def cold(self, location: str, metadata: str) -> str:
        """Return the table function that reads a table as one metadata file describes it.

        Raises:
            StreamError: if the metadata file lies outside of the table's folder, where ClickHouse looks for it.
        """
        folder = location.rstrip("/")
        if not metadata.startswith(f"{folder}/"):
            raise StreamError(
                f"the metadata file {metadata} lies outside of the table's folder {folder}",
                remedy="remove the table property write.metadata.path: ClickHouse finds no metadata elsewhere",
            )
        url = quote_text(self._files.url(folder))
        arguments = [url]
        if keys := self._files.keys:
            if self._collection == INLINE:
                arguments += [quote_text(key) for key in keys]
            else:
                arguments = [quote_name(self._collection), f"url = {url}"]
        path = quote_text(metadata.removeprefix(f"{folder}/"))
        return f"icebergS3({', '.join(arguments)}, SETTINGS iceberg_metadata_file_path = {path})"

    def types(self, cold: str) -> Mapping[str, str]:
        """Return the types with which the server reads a table; makes the named collection if there is none.

        Raises:
            StreamError: if the server can't read tables so.
            AccessDeniedError: naming the grant that is missing.
            StoreUnavailableError, SourceUnavailableError
        """
        try:
            rows = self._rows(f"DESCRIBE {cold}")
        except _NoCollectionError:
            self._make_collection()
            rows = self._rows(f"DESCRIBE {cold}")
        return {row[0]: row[1] for row in rows}

    def read_back(
        self, stream: Stream, mapping: TableMapping, cold: str, types: Mapping[str, str], file: str
    ) -> tuple[Fingerprint, Fingerprint]:
        """Return a data file's fingerprint as the check reads it, and as the view does: in the source's types.

        Raises:
            StreamError: if a column hides which file a row is from.
        """
        if hides_files(mapping):
            raise StreamError(
                f"stream {stream.name}: the source has a column {FILE_PATH}, which is ClickHouse's own name for the"
                " file that a row is from: what a view reads can't be compared with a file",
                remedy=f"rename the column, {_APART}",
            )
        _, _, key = file.partition("://")
        rows = cold_query(stream, mapping, cold, f"{FILE_PATH} = {quote_text(key)}", types)
        wire = ", ".join(f"{column.read_sql} AS {quote_name(column.name)}" for column in mapping.columns)
        direct = self._fingerprint(
            mapping, file_rows(mapping, self._files.source(file, file_structure(mapping))), FILE_SETTINGS
        )
        return direct, self._fingerprint(mapping, f"SELECT {wire} FROM ({rows})", _ICEBERG_SETTINGS)

    def _fingerprint(self, mapping: TableMapping, query: str, settings: Mapping[str, str | int]) -> Fingerprint:
        ((count, digest),) = self._rows(fingerprint_query(mapping, query), settings)
        return Fingerprint(rows=int(count), digest=int(digest))

    def find(self) -> Mapping[TableName, ViewMark]:
        """Return all views over both tiers that the user may see."""
        found = {}
        for database, name, comment in self._connection.rows(load_sql("find_views")):
            mark = ViewMark.parse(comment)
            if mark is not None:
                found[TableName(database=database, table=name)] = mark
        return found

    def put(
        self,
        name: TableName,
        stream: Stream,
        mapping: TableMapping,
        mark: ViewMark,
        *,
        cold: str | None,
        types: Mapping[str, str],
    ) -> None:
        """Create a view, or replace the stream's own one, by one statement.

        Raises:
            ConfigurationError: if something else has the name, or the database can't replace a view at once.
            AccessDeniedError: naming the grant that is missing.
            SourceUnavailableError, StoreUnavailableError
        """
        create = "CREATE OR REPLACE VIEW" if self._is_ours(name, stream) else "CREATE VIEW"
        query = view_query(stream, mapping, mark.boundary, cold=cold, types=types)
        self._run(
            f"{create} {quote_table(name)} ({view_columns(mapping)}) AS ({query}) COMMENT {quote_text(mark.comment())}"
        )

    def drop(self, name: TableName) -> None:
        """Drop a view.

        Raises:
            AccessDeniedError: naming the grant that is missing.
            SourceUnavailableError
        """
        self._run(f"DROP VIEW IF EXISTS {quote_table(name)}")

    def _is_ours(self, name: TableName, stream: Stream) -> bool:
        """Tell whether the name is taken by the stream's own view; raise if by anything else."""
        place = {"database": name.database, "table": name.table}
        rows = self._connection.rows(load_sql("view_place"), parameters=place)
        if not rows:
            raise ConfigurationError(
                f"--name {name}: there is no database {name.database}, or the user may not see it",
                remedy=f"create it, grant SHOW DATABASES ON {name.database}.* to the user, or name another",
            )
        database, engine, comment = rows[0]
        if database not in _ATOMIC:
            raise ConfigurationError(
                f"--name {name}: the database {name.database} has the engine {database}, which can't replace a view"
                " by one statement",
                remedy=f"name a database with one of the engines {', '.join(sorted(_ATOMIC))}",
            )
        if not engine:
            return False
        mark = ViewMark.parse(comment)
        if engine != "View" or mark is None or mark.stream != stream.name:
            what = f"the view of stream {mark.stream}" if mark is not None else f"something else ({engine})"
            raise ConfigurationError(
                f"--name {name}: {what} has this name already", remedy="name another database.view with --name"
            )
        return True

    def _make_collection(self) -> None:
        name = self._collection
        named = zip(("access_key_id", "secret_access_key"), self._files.keys, strict=True)
        values = ", ".join(f"{key} = {quote_text(value)}" for key, value in named)
        try:
            self._run(f"CREATE NAMED COLLECTION IF NOT EXISTS {quote_name(name)} AS {values}")
        except AccessDeniedError as error:
            raise AccessDeniedError(
                error.message,
                remedy=f"grant it; or let an administrator define the named collection {name} with access_key_id and"
                f" secret_access_key, and GRANT NAMED COLLECTION ON {name}; or give --named-collection {INLINE}, which"
                " puts the keys into the view: they are hidden from its readers, not from the server's disk",
            ) from error

    def _rows(self, query: str, settings: Mapping[str, str | int] = _ICEBERG_SETTINGS) -> Sequence[Row]:
        return self._connection.rows(query, settings=settings, secrets=self._files.secrets, meaning=_reading_error)

    def _run(self, statement: str) -> None:
        self._connection.run(statement, secrets=self._files.secrets)


def _reading_error(address: str, code: int | None, text: str) -> IcehaulError:
    if code == _NO_COLLECTION:
        return _NoCollectionError(text[:500], remedy="create the named collection")
    if code in _UNABLE:
        return StreamError(
            f"ClickHouse at {address} can't read a pinned Iceberg snapshot: {text[:500]}", remedy=_CHOICES
        )
    if code == _ACCESS_DENIED:
        return source_error(address, code, text)
    error = file_error(address, code, text)
    if isinstance(error, CheckFailedError):
        # The file was checked when it was published: it is the server that does not understand it.
        return StreamError(error.message, remedy=_CHOICES)
    return error
