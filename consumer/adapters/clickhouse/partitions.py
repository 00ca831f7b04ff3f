"""What the partitions of a table hold by the time column."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

from consumer.adapters.clickhouse.client import ClickHouseConnection, load_sql
from consumer.domain.clickhouse_sql import (
    in_partitions,
    partition_of,
    quote_name,
    read_rows,
    read_table,
)
from consumer.domain.mapping import TableMapping
from consumer.domain.reconcile import PartitionSpan
from consumer.domain.stream import Stream
from consumer.domain.time_type import from_micros
from consumer.domain.unit_query import unchanged, window_condition
from consumer.domain.window import BEGINNING, Window


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
