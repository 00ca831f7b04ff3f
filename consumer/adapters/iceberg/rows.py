"""The catalog's rows in Postgres: which metadata file is a table's current one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

from psycopg import Connection, errors
from psycopg.rows import DictRow

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.rows import stream_record
from consumer.domain.errors import BaseMovedError, DivergenceError, TargetMismatchError
from consumer.domain.stream import Stream, TableName
from consumer.ports import StreamRecord

_TABLE_TYPE = "TABLE"


class CatalogRows:
    """The tables of Iceberg's JDBC catalog (V1), as JVM engines read and write them too."""

    def __init__(self, database: Database, catalog: str) -> None:
        self._database = database
        self._catalog = catalog

    @property
    def database(self) -> Database:
        """The database that the rows are in."""
        return self._database

    def make_tables(self) -> None:
        """Make the catalog's own tables, as Java's JdbcCatalog and PyIceberg's SqlCatalog do, unless they are there."""
        with self._database.transaction(repeatable=True) as connection:
            for name in ("make_tables", "make_namespaces"):
                connection.execute(_sql(name))

    def location(self, table: TableName) -> str | None:
        """Return the location of a table's current metadata file; ``None`` where there is no such table.

        Raises:
            TargetMismatchError: if the name is a view's.
        """
        (rows,) = self._database.ask(_sql("location"), parameters=self._key(table))
        if not rows:
            return None
        row = rows[0]
        if row["iceberg_type"] not in {None, _TABLE_TYPE}:
            raise TargetMismatchError(
                f"the target {table} is a {row['iceberg_type'].lower()} in the catalog {self._catalog!r}",
                remedy="give the stream another target",
            )
        location = row["metadata_location"]
        return None if location is None else str(location)

    def others(self, table: TableName) -> Mapping[str, str]:
        """Return the metadata locations of all other tables in the database, by their names."""
        (rows,) = self._database.ask(_sql("others"), parameters=self._key(table))
        return {
            f"{row['table_namespace']}.{row['table_name']} (catalog {row['catalog_name']})": row["metadata_location"]
            for row in rows
        }

    def together(self, streams: Sequence[Stream]) -> Mapping[str, tuple[StreamRecord | None, str | None]]:
        """Return every stream's record and its target's metadata location, all as they stood at one moment."""
        with self._database.transaction(repeatable=True) as connection:
            rows = connection.execute(
                _sql("together"),
                {
                    "catalog": self._catalog,
                    "streams": [stream.name for stream in streams],
                    "namespaces": [stream.target.database for stream in streams],
                    "tables": [stream.target.table for stream in streams],
                },
            ).fetchall()
        return {
            row["asked"]: (None if row["stream"] is None else stream_record(row), row["metadata_location"])
            for row in rows
        }

    def create(self, table: TableName, location: str) -> bool:
        """Add a table, with its namespace, unless somebody else was faster; tell whether we were."""
        with self._database.transaction() as connection:
            connection.execute(_sql("create_namespace"), self._key(table))
            added = connection.execute(_sql("create_table"), {**self._key(table), "new": location})
            return added.rowcount == 1

    def swap(self, connection: Connection[DictRow], table: TableName, *, base: str, new: str) -> None:
        """Make ``new`` the table's metadata file within a transaction, if ``base`` still is.

        Raises:
            BaseMovedError: if it is not.
        """
        swapped = connection.execute(_sql("swap"), {**self._key(table), "base": base, "new": new})
        if swapped.rowcount != 1:
            raise BaseMovedError(
                f"the table {table} has moved on from {base.rsplit('/', 1)[-1]} since the batch was staged",
                remedy="nothing to do: the batch is staged again on the table's new state",
            )

    def move(self, connection: Connection[DictRow], old: TableName, new: TableName) -> bool:
        """Give a table another name within a transaction; tell whether there was one.

        Raises:
            DivergenceError: if another table has the new name.
        """
        names = {**self._key(new), "old_namespace": old.database, "old_table": old.table}
        connection.execute(_sql("create_namespace"), names)
        try:
            return connection.execute(_sql("move_table"), names).rowcount == 1
        except errors.UniqueViolation as error:
            raise DivergenceError(
                f"there is a table {new} already; nothing was changed",
                remedy="choose another name; see: icehaul stream list",
            ) from error

    def _key(self, table: TableName) -> dict[str, str]:
        return {"catalog": self._catalog, "namespace": table.database, "table": table.table}


@cache
def _sql(name: str) -> bytes:
    return (resources.files(__package__) / "sql" / f"{name}.sql").read_bytes()
