"""The catalog's rows in Postgres: which metadata file is a table's current one."""

from __future__ import annotations

from importlib import resources

from psycopg import Connection
from psycopg.rows import DictRow

from consumer.adapters.postgres.database import Database
from consumer.domain.errors import BaseMovedError, TargetMismatchError
from consumer.domain.stream import TableName

_TABLE_TYPE = "TABLE"


class CatalogRows:
    """The tables of Iceberg's JDBC catalog (V1), as JVM engines read and write them too."""

    def __init__(self, database: Database, catalog: str) -> None:
        self._database = database
        self._catalog = catalog

    def location(self, table: TableName) -> str | None:
        """Return the location of a table's current metadata file; ``None`` where there is no such table.

        Raises:
            TargetMismatchError: if the name is a view's.
        """
        with self._database.transaction(repeatable=True) as connection:
            row = connection.execute(_sql("location"), self._key(table)).fetchone()
        if row is None:
            return None
        if row["iceberg_type"] not in {None, _TABLE_TYPE}:
            raise TargetMismatchError(
                f"the target {table} is a {row['iceberg_type'].lower()} in the catalog {self._catalog!r}",
                remedy="give the stream another target",
            )
        location = row["metadata_location"]
        return None if location is None else str(location)

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

    def _key(self, table: TableName) -> dict[str, str]:
        return {"catalog": self._catalog, "namespace": table.database, "table": table.table}


def _sql(name: str) -> bytes:
    return (resources.files(__package__) / "sql" / f"{name}.sql").read_bytes()
