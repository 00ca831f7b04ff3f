"""One source table, in memory or in the stack's ClickHouse, and all that is done to it from outside."""

from __future__ import annotations

import socket
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from consumer.adapters.clickhouse.inventory import ClickHouseInventory
from consumer.adapters.clickhouse.source import ClickHouseSource
from consumer.domain.batch import Unit
from consumer.domain.mapping import TableMapping
from consumer.domain.stream import Stream, TableName
from consumer.domain.type_mapping import map_table
from consumer.domain.unit_query import unit_query
from consumer.domain.window import BEGINNING, END_OF_TIME, Window
from consumer.embedded.stack import EmbeddedStack
from consumer.emitter.ports import InventorySource
from consumer.ports import Source
from consumer.service.adoption.ports import FileSource
from consumer.service.verifying.ports import VerifiedSource
from consumer.testing.rows import Row
from consumer.testing.source import MemorySource
from tests.support.hot_tier import HotTier, clickhouse_settings, hot_tier, store_settings

DAY = timedelta(days=1)
NOON = datetime(2024, 3, 5, 12, tzinfo=UTC)
ALWAYS = Window(lower=BEGINNING, upper=END_OF_TIME)


def rows_at(instant: datetime, *numbers: int) -> list[Row]:
    """Rows of one instant with these sequence numbers."""
    return [Row(ts=instant, seq=number, value=number) for number in numbers]


class HotTable(ABC):
    """A table with the columns of :data:`consumer.testing.rows.COLUMNS`, partitioned by day; made empty."""

    source: Source
    verified: VerifiedSource
    counted: FileSource
    inventory: InventorySource

    def __init__(self, name: TableName) -> None:
        self.name = name
        self.stream = Stream(name="s", source=name, target=name, timestamp_column="ts", sequence_columns=("seq",))

    def mapping(self) -> TableMapping:
        """How the columns are mapped at this moment."""
        described = self.source.describe(self.name)
        return map_table(
            described.columns,
            timestamp_column=self.stream.timestamp_column,
            sequence_columns=self.stream.sequence_columns,
            source_uuid=described.uuid,
        )

    @abstractmethod
    def insert(self, rows: Sequence[Row]) -> None:
        """Insert rows by one statement."""

    @abstractmethod
    def delete(self, seq: int) -> None:
        """Delete rows with this number by a mutation."""

    @abstractmethod
    def update(self, seq: int, value: int) -> None:
        """Change the value of rows with this number by a mutation."""

    @abstractmethod
    def merge(self) -> None:
        """Merge the parts of each partition."""

    @abstractmethod
    def make_anew(self) -> None:
        """Drop the table, and create it again, empty."""

    @abstractmethod
    def keep_versions(self) -> None:
        """Drop the table, and create it again, empty, with an engine of which FINAL shows the last rows."""

    @abstractmethod
    def exchange(self) -> None:
        """Exchange the table with an empty one."""

    @abstractmethod
    def drop(self) -> None:
        """Drop the table."""

    @abstractmethod
    def retype(self, column: str, type_: str) -> None:
        """Change a column's type."""

    @abstractmethod
    def insert_out_of_range(self) -> None:
        """Insert a row of an instant before the year 1900."""

    @abstractmethod
    def write_file(self, mapping: TableMapping, window: Window) -> str:
        """Write the rows of a window to a data file, and return its path."""

    @abstractmethod
    def unreachable(self) -> tuple[Source, InventorySource]:
        """The same server when it does not answer."""


class MemoryHotTable(HotTable):
    """The table of the fake."""

    def __init__(self) -> None:
        super().__init__(TableName.parse("market.trades"))
        self.source = self.verified = self.counted = self.inventory = self.memory = MemorySource(
            datetime(2024, 6, 1, tzinfo=UTC)
        )
        self.memory.create(self.name)

    def insert(self, rows: Sequence[Row]) -> None:
        self.memory.insert(self.name, rows)

    def delete(self, seq: int) -> None:
        self.memory.delete(self.name, lambda row: row.seq == seq)

    def update(self, seq: int, value: int) -> None:
        self.memory.update(self.name, lambda row: replace(row, value=value) if row.seq == seq else row)

    def merge(self) -> None:
        self.memory.merge(self.name)

    def make_anew(self) -> None:
        self.memory.create(self.name)

    def keep_versions(self) -> None:
        self.memory.create(self.name, engine="ReplacingMergeTree")

    def exchange(self) -> None:
        other = TableName(database=self.name.database, table="other")
        self.memory.create(other)
        self.memory.exchange(self.name, other)

    def drop(self) -> None:
        self.memory.drop(self.name)

    def retype(self, column: str, type_: str) -> None:
        self.memory.retype(self.name, column, type_)

    def insert_out_of_range(self) -> None:
        self.insert([Row(ts=datetime(1874, 12, 8, tzinfo=UTC), seq=1)])

    def write_file(self, mapping: TableMapping, window: Window) -> str:
        path = f"s3://bucket/{uuid.uuid4()}.parquet"
        self.memory.files[path] = self.memory.rows(self.stream, window, mapping)
        return path

    def unreachable(self) -> tuple[Source, InventorySource]:
        self.memory.down = True
        return self.memory, self.memory


class ClickHouseHotTable(HotTable):
    """A table of the stack."""

    def __init__(self, server: ClickHouseServer, table: str) -> None:
        super().__init__(TableName(database=server.tier.database, table=table))
        self._server, self._tier = server, server.tier
        self.source = self.verified = self.counted = server.tier.source
        self.inventory = server.inventory
        self._create(self.name)

    def _create(self, name: TableName, engine: str = "MergeTree") -> None:
        self._tier.run(
            f"CREATE TABLE {name} (ts DateTime64(6, 'UTC'), seq UInt64, value Int64) ENGINE = {engine}"
            " PARTITION BY toDate(ts) ORDER BY (ts, seq)"
        )

    def insert(self, rows: Sequence[Row]) -> None:
        values = ", ".join(f"('{row.ts:%Y-%m-%d %H:%M:%S.%f}', {row.seq}, {row.value})" for row in rows)
        self._tier.run(f"INSERT INTO {self.name} VALUES {values}")

    def delete(self, seq: int) -> None:
        self._tier.run(f"ALTER TABLE {self.name} DELETE WHERE seq = {seq}")

    def update(self, seq: int, value: int) -> None:
        self._tier.run(f"ALTER TABLE {self.name} UPDATE value = {value} WHERE seq = {seq}")

    def merge(self) -> None:
        self._tier.run(f"OPTIMIZE TABLE {self.name} FINAL")

    def make_anew(self) -> None:
        self.drop()
        self._create(self.name)

    def keep_versions(self) -> None:
        self.drop()
        self._create(self.name, "ReplacingMergeTree")

    def exchange(self) -> None:
        other = TableName(database=self.name.database, table=f"{self.name.table}_other")
        self._create(other)
        self._tier.run(f"EXCHANGE TABLES {self.name} AND {other}")

    def drop(self) -> None:
        self._tier.run(f"DROP TABLE {self.name} SYNC")

    def retype(self, column: str, type_: str) -> None:
        self._tier.run(f"ALTER TABLE {self.name} MODIFY COLUMN {column} {type_}")

    def insert_out_of_range(self) -> None:
        self._tier.run(f"INSERT INTO {self.name} SELECT reinterpret(toInt64(-3000000000000000), 'DateTime64(6)'), 1, 1")

    def write_file(self, mapping: TableMapping, window: Window) -> str:
        unit = Unit(index=0, window=window, rows=0)
        rows, _ = self._tier.read(unit_query(self.stream, mapping, unit), mapping)
        return self._tier.write(rows, uuid.uuid4().hex)

    def create_slow_view(self, view: TableName, *, seconds: int) -> None:
        """Create a view of the table whose every reading takes at least some seconds."""
        self._tier.run(
            f"CREATE VIEW {view} AS SELECT * FROM {self.name} WHERE sleep({seconds}) = 0"
            " SETTINGS function_sleep_max_microseconds_per_block = 30000000"
        )

    def is_read(self, table: TableName) -> bool:
        """Tell whether a query that names a table runs at this moment."""
        found = self._tier.client.query(
            f"SELECT count() FROM system.processes WHERE position(query, '{table.table}') > 0"
            " AND position(query, 'system.processes') = 0"
        )
        return bool(found.result_rows[0][0])

    def unreachable(self) -> tuple[Source, InventorySource]:
        return self._server.unreachable


@dataclass(frozen=True)
class ClickHouseServer:
    """The stack's ClickHouse with a database for all tables of a module, and the same where nothing listens."""

    tier: HotTier
    inventory: ClickHouseInventory
    unreachable: tuple[Source, InventorySource]


@contextmanager
def clickhouse_server(stack: EmbeddedStack, database: str) -> Iterator[ClickHouseServer]:
    """Connect, with a database of this name."""
    settings, store = clickhouse_settings(stack), store_settings(stack)
    with socket.create_server(("127.0.0.1", 0)) as free:
        nowhere = settings.model_copy(update={"port": free.getsockname()[1]})
    with hot_tier(stack, database) as tier, ExitStack() as exits:
        inventory, other = (exits.enter_context(closing(ClickHouseInventory(to))) for to in (settings, nowhere))
        source = exits.enter_context(closing(ClickHouseSource(nowhere, store)))
        yield ClickHouseServer(tier, inventory, (source, other))
