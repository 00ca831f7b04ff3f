"""The hot tier as the emitter sees it: the server's clock, and what the partitions hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from consumer.adapters.clickhouse.client import ClickHouseConnection, load_sql
from consumer.adapters.clickhouse.descriptions import Contents, Descriptions
from consumer.domain.clickhouse_sql import in_partitions, partition_of, quote_name, read_table
from consumer.domain.errors import SourceMissingError, TimeColumnError
from consumer.domain.inventory import Inventory, Partition, PartitionContent, find_period
from consumer.domain.stream import Stream
from consumer.domain.time_type import from_micros, time_type
from consumer.domain.window import PartitionBy
from consumer.ports import SourceTable
from consumer.settings.connections import ClickHouseSettings

Extent = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a source table is cut into partitions.

    Attributes:
        uuid: the table's UUID.
        partitioned: whether it has a partition key.
        period: calendar span (UTC) that a partition covers on the time column, ``None`` where the key doesn't tell.
        precision: smallest step of the time column.
    """

    uuid: UUID
    partitioned: bool
    period: PartitionBy | None
    precision: timedelta


class ClickHouseInventory:
    """Lists partitions from ``system.parts``; not thread-safe.

    A table is described again only when it was altered; first and last instant of a partition are asked for again only
    when its content has changed.
    """

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._connection = ClickHouseConnection(settings, {})
        self._descriptions = Descriptions(self._connection)
        # By stream, with the table that they were read from: another table of its name may have equal parts.
        self._extents: dict[str, tuple[UUID, dict[str, tuple[PartitionContent, Extent]]]] = {}

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def now(self) -> datetime:
        """Return the server's time in UTC."""
        return self._descriptions.now()

    def inventory(self, stream: Stream) -> Inventory:
        """List the non-empty partitions of a stream's source table by id; none where the table has no partition key.

        Raises:
            SourceMissingError: if the table or its time column does not exist.
            TimeColumnError: if the time column has no type of a time, or is Nullable.
            AccessDeniedError, SourceUnavailableError
        """
        contents, table = self._descriptions.look(stream.source)
        if table is None:
            table = self._descriptions.describe(stream.source)
            # What was seen before may have been of another table of its name.
            contents, _ = self._descriptions.look(stream.source)
        layout = _layout(stream, table)
        return Inventory(
            table=stream.source,
            partitions=self._partitions(stream, layout.uuid, contents) if layout.partitioned else (),
            period=layout.period,
            precision=layout.precision,
        )

    def layout(self, stream: Stream) -> Layout:
        """Say how a stream's source table is cut into partitions; raises what :meth:`inventory` does."""
        return _layout(stream, self._descriptions.describe(stream.source))

    def _partitions(self, stream: Stream, uuid: UUID, contents: Contents) -> tuple[Partition, ...]:
        extents = self._known(stream, uuid, {id_: content for id_, (content, _) in contents.items()})
        return tuple(
            Partition(id=id_, content=content, modified=modified, first=extents[id_][0], last=extents[id_][1])
            for id_, (content, modified) in sorted(contents.items())
            if id_ in extents
        )

    def _known(self, stream: Stream, uuid: UUID, contents: Mapping[str, PartitionContent]) -> dict[str, Extent]:
        """Return the extents of the partitions; one that has just been dropped, or deleted from, has none."""
        table, known = self._extents.get(stream.name, (uuid, {}))
        if table != uuid:
            known = {}
        changed = [id_ for id_, content in contents.items() if id_ not in known or known[id_][0] != content]
        fresh = {id_: (contents[id_], extent) for id_, extent in self._ask(stream, changed).items()}
        kept = {id_: known[id_] for id_ in contents if id_ in known and id_ not in changed}
        extents = kept | fresh
        self._extents[stream.name] = uuid, extents
        return {id_: extent for id_, (_, extent) in extents.items()}

    def _ask(self, stream: Stream, partitions: Collection[str]) -> dict[str, Extent]:
        if not partitions:
            return {}
        rows = self._connection.rows(
            load_sql(
                "inventory_extents",
                time=quote_name(stream.timestamp_column),
                partition=partition_of(stream.source, "_partition_id"),
                table=read_table(stream.source),
                chosen=in_partitions(stream.source, partitions),
            )
        )
        return {str(id_): (from_micros(int(first)), from_micros(int(last))) for id_, first, last in rows}


def _layout(stream: Stream, table: SourceTable) -> Layout:
    column_type = _time_column(stream, table)
    return Layout(
        uuid=table.uuid,
        partitioned=bool(table.partition_key),
        period=find_period(
            partition_key=table.partition_key,
            time_column=stream.timestamp_column,
            time_type=column_type,
            server_zone=table.server_zone,
        ),
        precision=_precision(stream, column_type),
    )


def _time_column(stream: Stream, table: SourceTable) -> str:
    for column in table.columns:
        if column.name == stream.timestamp_column:
            return column.type
    raise SourceMissingError(
        f"stream {stream.name}: timestamp_column {stream.timestamp_column!r} is no column of {table.name}",
        remedy=f"name one of {', '.join(column.name for column in table.columns)}",
    )


def _precision(stream: Stream, column_type: str) -> timedelta:
    try:
        return timedelta(microseconds=time_type(column_type).resolution)
    except ValueError as error:
        raise TimeColumnError(
            f"stream {stream.name}: timestamp_column {stream.timestamp_column!r} has the type {column_type}: {error}",
            remedy="name a column of the type Date, Date32, DateTime or DateTime64 up to microseconds, not Nullable",
        ) from None
