"""What the partitions of a table hold, from ``system.parts`` and from the time column."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from consumer.adapters.clickhouse.client import ClickHouseConnection, load_sql
from consumer.domain.clickhouse_sql import (
    PARTITION_OF_PART,
    in_partitions,
    partition_of,
    quote_name,
    read_rows,
    read_system,
    read_table,
)
from consumer.domain.inventory import PartitionContent
from consumer.domain.mapping import TableMapping
from consumer.domain.reconcile import PartitionSpan
from consumer.domain.stream import Stream, TableName
from consumer.domain.time_type import from_micros
from consumer.domain.unit_query import unchanged, window_condition
from consumer.domain.window import BEGINNING, Window


def read_contents(
    connection: ClickHouseConnection, table: TableName
) -> Mapping[str, tuple[PartitionContent, datetime]]:
    """Return content and latest modification of every non-empty partition, by id; none for an engine without parts."""
    rows = connection.rows(parts_query(table), parameters={"database": table.database, "table": table.table})
    return {str(id_): (content_of(parts), from_micros(int(modified) * 1_000_000)) for id_, *parts, modified in rows}


def parts_query(table: TableName) -> str:
    """Return the query of what the parts of a table tell, by partition."""
    return load_sql(
        "inventory_parts", partition=partition_of(table, PARTITION_OF_PART), parts=read_system(table, "parts")
    )


def content_of(parts: Sequence[int]) -> PartitionContent:
    """Return what ``inventory_parts.sql`` tells of a partition, between its id and its latest modification."""
    rows, min_block, max_block, version = map(int, parts)
    return PartitionContent(rows=rows, min_block=min_block, max_block=max_block, data_version=version)


def read_spans(
    connection: ClickHouseConnection,
    stream: Stream,
    keys: TableMapping,
    partitions: Collection[str],
    watermark: datetime,
) -> Mapping[str, PartitionSpan]:
    """Return the spans of partitions; one that is gone, or has no row left, has none.

    ``keys`` maps the time column, at least; rows that are not below ``watermark`` are counted as pending.
    """
    if not partitions:
        return {}
    below = window_condition(stream, keys, Window(lower=BEGINNING, upper=watermark)) if watermark > BEGINNING else "0"
    parts = {
        "time": quote_name(stream.timestamp_column),
        "below": below,
        "partition": partition_of(stream.source, "_partition_id"),
        "chosen": in_partitions(stream.source, partitions),
        "unchanged": unchanged(stream, keys),
    }
    stored = _spans(connection, parts, read_table(stream.source))
    if read_rows(stream) == read_table(stream.source):
        return stored
    # Rows that FINAL hides still mark where others may be hidden by them; only those that it shows are waited for.
    shown = _spans(connection, parts, read_rows(stream))
    return {id_: replace(span, pending=shown[id_].pending if id_ in shown else 0) for id_, span in stored.items()}


def _spans(connection: ClickHouseConnection, parts: Mapping[str, str], table: str) -> Mapping[str, PartitionSpan]:
    rows = connection.rows(load_sql("partition_spans", table=table, **parts))
    return {
        str(id_): PartitionSpan(first=from_micros(int(first)), last=from_micros(int(last)), pending=int(pending))
        for id_, first, last, pending in rows
    }
