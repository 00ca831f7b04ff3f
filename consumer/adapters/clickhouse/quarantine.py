"""Partitions on their way out of the hot tier: the statements that move and drop them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from consumer.adapters.clickhouse.client import ClickHouseConnection, load_sql
from consumer.adapters.clickhouse.grants import granted, lacking, to_move_rows
from consumer.adapters.clickhouse.inventory import ClickHouseInventory
from consumer.adapters.clickhouse.shards import refuse_cluster
from consumer.domain.clickhouse_sql import quote_table, quote_text
from consumer.domain.hot_drop import HotPartition, quarantine_epoch, quarantine_prefix
from consumer.domain.stream import Stream, TableName
from consumer.domain.table_ttl import has_table_ttl
from consumer.domain.window import Window
from consumer.settings.connections import ClickHouseSettings


class ClickHousePartitions:
    """Implements :class:`consumer.service.dropping.ports.Partitions`; not thread-safe.

    A statement that changes something is sent once: whether one landed whose answer was lost is for the next run to
    find out.
    """

    def __init__(self, settings: ClickHouseSettings) -> None:
        refuse_cluster(
            settings,
            "dropping from the hot tier",
            "let a TTL delete old rows (its time to loss is watched on all shards), or drop partitions by hand after"
            " `icehaul verify`",
        )
        self._connection = ClickHouseConnection(settings, {})
        self._inventory = ClickHouseInventory(settings)

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()
        self._inventory.close()

    def partitions(self, stream: Stream, table: TableName) -> Sequence[HotPartition]:
        """List the non-empty partitions of the stream's source, or of a quarantine table of it."""
        found = self._inventory.inventory(replace(stream, name=table.table, source=table))
        sizes = {
            str(id_): int(size)
            for id_, size in self._connection.rows(
                load_sql("partition_bytes"), parameters={"database": table.database, "table": table.table}
            )
        }
        return [
            HotPartition(
                id=one.id,
                content_id=one.content.id,
                rows=one.content.rows,
                bytes=sizes.get(one.id, 0),
                window=Window(lower=one.first, upper=one.last + found.precision),
            )
            for one in found.partitions
        ]

    def count(self, table: TableName, partition: str) -> int:
        """Count all rows of a partition, whatever their time."""
        ((rows,),) = self._connection.rows(
            f"SELECT count() FROM {quote_table(table)} WHERE _partition_id = {quote_text(partition)}"
        )
        return int(rows)

    def lacking(self, stream: Stream) -> Sequence[str]:
        """Return the grants that the user lacks for a drop; none where the server (before 24.10) can't tell."""
        return lacking(self._granted, to_move_rows(stream.source.database))

    def _granted(self, right: str) -> bool:
        return granted(self._connection, right)

    def quarantines(self, stream: Stream) -> Sequence[TableName]:
        """Return the quarantine tables of the stream that exist, of any epoch."""
        return [table for table, _ in self._quarantines(stream)]

    def create(self, stream: Stream, quarantine: TableName) -> None:
        """Make a quarantine table like the source, but without a TTL."""
        self._connection.run(f"CREATE TABLE IF NOT EXISTS {quote_table(quarantine)} AS {quote_table(stream.source)}")
        # A run that ended in between has left the source's TTL on the table.
        if any(table == quarantine and has_table_ttl(engine) for table, engine in self._quarantines(stream)):
            self._connection.run(f"ALTER TABLE {quote_table(quarantine)} REMOVE TTL")

    def move(self, partition: str, origin: TableName, destination: TableName) -> None:
        """Move all parts of a partition from one table to the other, at once."""
        self._connection.run(
            f"ALTER TABLE {quote_table(origin)} MOVE PARTITION ID {quote_text(partition)}"
            f" TO TABLE {quote_table(destination)}"
        )

    def drop(self, partition: str, quarantine: TableName) -> None:
        """Drop a partition of a quarantine table."""
        self._connection.run(f"ALTER TABLE {quote_table(quarantine)} DROP PARTITION ID {quote_text(partition)}")

    def remove(self, quarantine: TableName) -> None:
        """Drop an empty quarantine table."""
        self._connection.run(f"DROP TABLE IF EXISTS {quote_table(quarantine)} SYNC")

    def _quarantines(self, stream: Stream) -> list[tuple[TableName, str]]:
        database = stream.source.database
        rows = self._connection.rows(
            load_sql("quarantine_tables"), parameters={"database": database, "prefix": quarantine_prefix(stream)}
        )
        return [
            (TableName(database=database, table=name), engine_full)
            for name, engine_full in rows
            if quarantine_epoch(stream, name) is not None
        ]
