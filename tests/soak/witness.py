"""The judge's own copy of every row that was ever inserted, which no TTL takes; and its verdict on the cold tier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from consumer.bootstrap import Application
from consumer.demo.market import TABLES
from tests.support.cold_tier import other_engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One table: the rows that were inserted against the rows that PyIceberg reads.

    Attributes:
        inserted: rows that were inserted.
        found: rows of the Iceberg table.
        lost: rows that were inserted more often than they are found.
        doubled: rows that are found more often than they were inserted.
    """

    table: str
    inserted: int
    found: int
    lost: int
    doubled: int


class Witness:
    """Copies of the ten tables in a database of their own, filled by materialized views.

    Neither icehaul's digest nor its SQL has a part in the verdict: PyIceberg reads the Iceberg table, and ClickHouse
    compares all columns of all rows, copy by copy.
    """

    def __init__(self, client: Client, database: str) -> None:
        self._client = client
        self._hot = database
        self._name = f"{database}_witness"

    def create(self) -> None:
        """Make the copies, empty as the tables still are."""
        self._client.command(f"CREATE DATABASE {self._name}")
        for table in TABLES:
            self._client.command(f"CREATE TABLE {self._name}.{table} AS {self._hot}.{table}")
            self.watch(table)

    def watch(self, table: str) -> None:
        """Take the table's columns as they are now, and see every row from now on."""
        view = f"{self._name}.see_{table}"
        self._client.command(f"DROP VIEW IF EXISTS {view} SYNC")
        for name, kind in self._columns(self._hot, table).items():
            # Rows that are there already have NULL, which is what the cold tier has.
            self._client.command(f"ALTER TABLE {self._name}.{table} ADD COLUMN IF NOT EXISTS `{name}` {kind}")
        self._client.command(
            f"CREATE MATERIALIZED VIEW {view} TO {self._name}.{table} AS SELECT * FROM {self._hot}.{table}"
        )

    def rows(self) -> Mapping[str, int]:
        """Return how many rows were inserted into each table."""
        found = self._client.query(
            "SELECT table, total_rows FROM system.tables WHERE database = {name:String} AND engine = 'MergeTree'",
            parameters={"name": self._name},
        ).result_rows
        return {str(table): int(rows) for table, rows in found if table in TABLES}

    def judge(self, application: Application, dsn: str) -> Sequence[Verdict]:
        """Compare all tables, row by row."""
        return [self._judge(application, dsn, table) for table in TABLES]

    def difference(self, table: str, found: pa.Table) -> tuple[int, int]:
        """Return how many copies of rows are missing among those that were found, and how many are too many."""
        columns = self._columns(self._name, table)
        there = f"{self._name}.found_{table}"
        self._client.command(f"CREATE OR REPLACE TABLE {there} AS {self._name}.{table}")
        if found.num_rows:
            self._client.insert_arrow(there, found.select(list(columns)))
        statement = (files("tests.soak") / "sql" / "difference.sql").read_text(encoding="utf-8")
        listed = ", ".join(f"`{name}`" for name in columns)
        ((lost, doubled),) = self._client.query(
            statement.format(columns=listed, witness=f"{self._name}.{table}", found=there)
        ).result_rows
        return int(lost), int(doubled)

    def drop(self) -> None:
        """Drop the copies."""
        self._client.command(f"DROP DATABASE IF EXISTS {self._name} SYNC")

    def _judge(self, application: Application, dsn: str, table: str) -> Verdict:
        target = application.streams[table].target
        with other_engine(dsn, application.configuration.store) as engine:
            rows = engine.load_table((target.database, target.table)).scan().to_arrow()
        lost, doubled = self.difference(table, rows)
        return Verdict(table=table, inserted=self.rows()[table], found=rows.num_rows, lost=lost, doubled=doubled)

    def _columns(self, database: str, table: str) -> Mapping[str, str]:
        found = self._client.query(
            "SELECT name, type FROM system.columns WHERE database = {database:String} AND table = {table:String}"
            " ORDER BY position",
            parameters={"database": database, "table": table},
        ).result_rows
        return {str(name): str(kind) for name, kind in found}
