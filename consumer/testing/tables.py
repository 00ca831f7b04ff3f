"""The tables of a hot tier in memory, and all that may happen to them from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from uuid import UUID, uuid4

from consumer.domain.errors import SchemaMovedError, SourceChangedError, SourceMissingError, SourceUnavailableError
from consumer.domain.inventory import Partition
from consumer.domain.mapping import SourceColumn, TableMapping
from consumer.domain.stream import Mode, Stream, TableName
from consumer.domain.table_ttl import row_ttls
from consumer.domain.window import BEGINNING, PartitionBy, Window
from consumer.ports import SourceTable
from consumer.testing.parts import MemoryParts
from consumer.testing.rows import COLUMNS, Row


class MemoryTables:
    """Tables partitioned by day; time stands still until a test moves it. ``down`` makes an unreachable server."""

    def __init__(self, now: datetime, *, new_uuid: Callable[[], UUID] = uuid4) -> None:
        self.time = now
        self.tables: dict[TableName, list[Row]] = {}
        self.files: dict[str, list[Row]] = {}
        self.clauses: dict[TableName, str] = {}
        """The TTL rules of tables that have some, as ClickHouse writes them."""
        self.queries = 0
        self.down = False
        self._new_uuid = new_uuid
        self._uuids: dict[TableName, UUID] = {}
        self._engines: dict[TableName, str] = {}
        self._columns: dict[TableName, tuple[SourceColumn, ...]] = {}
        self._described: dict[TableName, SourceTable] = {}
        self._parts = MemoryParts()

    # ------------------------------------------------------------------------------------- what others do to it

    def create(self, table: TableName, rows: Iterable[Row] = (), *, engine: str = "MergeTree") -> None:
        """Create a table with rows; a second time makes it another table.

        With the engine ReplacingMergeTree, FINAL shows the last row of each instant and number that was inserted.
        """
        self._parts.forget(table)
        self._engines[table] = engine
        self.tables[table] = []
        self._uuids[table] = self._new_uuid()
        self._columns[table] = COLUMNS
        self.insert(table, rows)

    def drop(self, table: TableName) -> None:
        """Drop a table."""
        self._parts.forget(table)
        for known in (self.tables, self._uuids, self._columns):
            known.pop(table, None)

    def exchange(self, one: TableName, other: TableName) -> None:
        """Let two tables exchange their names."""
        self._parts.exchange(one, other)
        self.tables[one], self.tables[other] = self.tables[other], self.tables[one]
        self._uuids[one], self._uuids[other] = self._uuids[other], self._uuids[one]
        self._columns[one], self._columns[other] = self._columns[other], self._columns[one]

    def retype(self, table: TableName, column: str, type_: str) -> None:
        """Change the type of a column."""
        self._columns[table] = tuple(
            SourceColumn(name=found.name, type=type_) if found.name == column else found
            for found in self._columns[table]
        )

    def insert(self, table: TableName, rows: Iterable[Row]) -> None:
        """Insert rows: one block, and one new part in each partition that they belong to."""
        added = list(rows)
        self.tables[table] += added
        self._parts.inserted(table, [row.ts for row in added], self.time)

    def delete(self, table: TableName, doomed: Callable[[Row], bool]) -> list[Row]:
        """Delete rows by a mutation, and return them; partitions that become empty are gone."""
        gone = [row for row in self.tables[table] if doomed(row)]
        self.tables[table] = [row for row in self.tables[table] if not doomed(row)]
        self._parts.mutated(table, [row.ts for row in gone], self.time)
        return gone

    def update(self, table: TableName, changed: Callable[[Row], Row]) -> None:
        """Change rows by a mutation."""
        before = self.tables[table]
        self.tables[table] = [changed(row) for row in before]
        touched = [old.ts for old, new in zip(before, self.tables[table], strict=True) if old != new]
        self._parts.mutated(table, touched, self.time)

    def drop_partition(self, table: TableName, day: datetime) -> None:
        """Drop a day, which no mutation tells."""
        self.tables[table] = [row for row in self.tables[table] if PartitionBy.DAY.floor(row.ts) != day]
        self._parts.dropped(table, day)

    def merge(self, table: TableName) -> None:
        """Merge all parts of each partition: of a ReplacingMergeTree, former versions go."""
        self.tables[table] = self.shown(table)

    # ------------------------------------------------------------------------------------- looking at them

    def shown(self, table: TableName) -> list[Row]:
        """Return the rows that FINAL shows."""
        rows = self.tables[table]
        if self._engines.get(table) != "ReplacingMergeTree":
            return list(rows)
        return list({(row.ts, row.seq): row for row in rows}.values())

    def describe(self, table: TableName) -> SourceTable:
        """Describe a table."""
        self.check_up()
        self._described[table] = SourceTable(
            name=table,
            uuid=self._uuid(table),
            engine=self._engines.get(table, "MergeTree"),
            partition_key="toDate(ts)",
            sorting_key="ts, seq",
            columns=self._columns[table],
            ttls=row_ttls(f"MergeTree ORDER BY ts TTL {self.clauses[table]}") if table in self.clauses else (),
            server_zone="UTC",
        )
        return self._described[table]

    def last_described(self, table: TableName) -> SourceTable | None:
        """Return the table as it was described last."""
        return self._described.get(table)

    def partitions(self, table: TableName) -> tuple[Partition, ...]:
        """Return the partitions that hold rows."""
        return self._parts.partitions(table, [row.ts for row in self.tables[table]])

    def rows(self, stream: Stream, window: Window, mapping: TableMapping | None = None) -> list[Row]:
        """Return the rows of a window in their order, as they were mapped; without a mapping as they were described.

        Raises:
            SourceMissingError: if the table does not exist.
            SourceChangedError: if its name means another table than the described or mapped one.
            SchemaMovedError: if a column has another type by now, or has gone.
        """
        self.queries += 1
        self.check_up()
        uuid, expected = self._expected(stream, mapping)
        if self._uuid(stream.source) != uuid:
            raise SourceChangedError(
                f"the name {stream.source} means another table than the described one",
                remedy="put the recorded table back, or give the new one a stream of its own",
            )
        types = {column.name: column.type for column in self._columns[stream.source]}
        if any(types.get(name) != type_ for name, type_ in expected.items()):
            raise SchemaMovedError(
                f"a column of {stream.source} has another type by now", remedy="nothing to do: it is described anew"
            )
        # The first window reaches back before the first instant that there should be.
        stored = self.shown(stream.source) if stream.mode is Mode.LATEST_VERSION else self.tables[stream.source]
        return sorted(
            row for row in stored if window.contains(row.ts) or (window.lower == BEGINNING and row.ts < BEGINNING)
        )

    def _expected(self, stream: Stream, mapping: TableMapping | None) -> tuple[UUID, Mapping[str, str]]:
        """Return the table that is meant, and the types of the columns that are read."""
        if mapping is not None and mapping.source_uuid is not None:
            return mapping.source_uuid, {column.name: column.source_type for column in mapping.columns}
        described = self._described.get(stream.source) or self.describe(stream.source)
        read = {stream.timestamp_column, *stream.sequence_columns}
        return described.uuid, {column.name: column.type for column in described.columns if column.name in read}

    def check_up(self) -> None:
        """Raise unless the server answers.

        Raises:
            SourceUnavailableError: while ``down`` is set.
        """
        if self.down:
            raise SourceUnavailableError("the hot tier is down", remedy="set down to False")

    def _uuid(self, table: TableName) -> UUID:
        if table not in self.tables:
            raise SourceMissingError(f"the source {table} does not exist", remedy="create it")
        return self._uuids[table]
