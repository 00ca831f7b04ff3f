"""Where the rows of a table are, from metadata of its parts and from its keys; as little is read as these allow."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from consumer.adapters.clickhouse.client import ClickHouseConnection, Row, load_sql
from consumer.domain.clickhouse_error import source_error
from consumer.domain.clickhouse_sql import partition_of, quote_name, read_rows, read_system
from consumer.domain.errors import IcehaulError, TimeColumnError
from consumer.domain.mapping import TableMapping
from consumer.domain.partition_bounds import PartitionBounds
from consumer.domain.stream import Mode, Stream
from consumer.domain.time_type import from_micros, to_micros
from consumer.domain.unit_query import unchanged, window_condition
from consumer.domain.window import BEGINNING, END_OF_TIME, Window
from consumer.ports import SourceTable

_METADATA_ONLY: Mapping[str, str | int] = MappingProxyType(
    {"optimize_use_projections": 1, "optimize_use_implicit_projections": 1, "force_optimize_projection": 1}
)
_PROJECTION_NOT_USED = 584
_LEAST = -(1 << 63)
_NEAR = timedelta(days=1)
"""Of a stretch that is no longer the first row is looked for among all of them."""


class _RowsNeededError(IcehaulError):
    """Metadata does not tell what was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableBounds:
    """Finds rows of a stream's ``table``, as it was described; ``keys`` maps its time column, at least."""

    connection: ClickHouseConnection
    stream: Stream
    keys: TableMapping
    table: SourceTable

    def partitions(self, window: Window, most: int) -> Sequence[PartitionBounds] | None:
        """Return the first ``most`` partitions that reach into a window; see :class:`consumer.ports.Source`.

        ``None`` where the partition key does not hold the time column, or ClickHouse does not use its metadata: after
        lightweight deletes, or with a row policy. It counts rows that FINAL hides, too: then it tells nothing.
        """
        stream = self.stream
        if stream.mode is Mode.LATEST_VERSION or not _names(self.table.partition_key, stream.timestamp_column):
            return None
        statement = load_sql(
            "partition_bounds",
            partition=partition_of(stream.source, "_partition_id"),
            time=quote_name(stream.timestamp_column),
            row_bytes=row_bytes(stream),
            table=read_rows(stream),
            unchanged=unchanged(stream, self.keys),
        )
        parameters: dict[str, str | int] = {
            "database": stream.source.database,
            "table": stream.source.table,
            # The first window is open below: an instant before it is met, and refused.
            "lower": _LEAST if window.lower == BEGINNING else to_micros(window.lower),
            "upper": to_micros(window.upper),
            "most": most,
        }
        try:
            rows = self.connection.rows(statement, parameters=parameters, settings=_METADATA_ONLY, meaning=_meaning)
        except _RowsNeededError:
            return None
        return [
            PartitionBounds(
                first=instant_of(stream, int(first)) if window.lower == BEGINNING else _clamped(first),
                last=_clamped(last),
                rows=int(count),
                bytes=bytes_of(int(count), size),
            )
            for _, count, first, last, size in rows
        ]

    def first(self, window: Window, least: Callable[[Window], datetime | None]) -> datetime | None:
        """Return the instant of the first row in a window.

        By the sorting key where that begins with the time column, by halves where the partition key holds it;
        otherwise ``least`` looks for it among all rows of the window.
        """
        if _leads(self.table.sorting_key, self.stream.timestamp_column):
            found = self._ask("first_in_order", window)
            return instant_of(self.stream, int(found[0][0])) if found else None
        if not _names(self.table.partition_key, self.stream.timestamp_column):
            return least(window)
        if not self._ask("any_row", window):
            return None
        while window.upper - window.lower > _NEAR:
            middle = window.lower + (window.upper - window.lower) / 2
            half = Window(lower=window.lower, upper=middle)
            window = half if self._ask("any_row", half) else Window(lower=middle, upper=window.upper)
        return least(window)

    def _ask(self, statement: str, window: Window) -> Sequence[Row]:
        condition = f"{window_condition(self.stream, self.keys, window)} AND {unchanged(self.stream, self.keys)}"
        time, table = quote_name(self.stream.timestamp_column), read_rows(self.stream)
        return self.connection.rows(load_sql(statement, time=time, table=table, window=condition))


def row_bytes(stream: Stream) -> str:
    """Return the expression of the uncompressed bytes of a row, as the whole table has them on average."""
    return load_sql("row_bytes", parts=read_system(stream.source, "parts"))


def bytes_of(rows: int, size: float | None) -> int:
    """Return the bytes of rows of about ``size`` bytes each; 0 where nobody knows."""
    return math.ceil(rows * size) if size and math.isfinite(size) else 0


def instant_of(stream: Stream, micros: int) -> datetime:
    """Return the instant of microseconds since 1970.

    Raises:
        TimeColumnError: if no window can hold it.
    """
    if not to_micros(BEGINNING) <= micros <= to_micros(END_OF_TIME):
        raise TimeColumnError(
            f"stream {stream.name}: {stream.source}.{stream.timestamp_column} holds an instant outside the years"
            f" 1900 to 2299 ({micros} microseconds since 1970)",
            remedy="delete or repair such rows in the source: no window can hold them",
        )
    return from_micros(micros)


def _clamped(micros: int) -> datetime:
    return from_micros(min(max(int(micros), to_micros(BEGINNING)), to_micros(END_OF_TIME)))


def _names(key: str, column: str) -> bool:
    """Tell whether a key's expression names a column."""
    return re.search(rf"(?<!\w){re.escape(column)}(?!\w)", key) is not None


def _leads(key: str, column: str) -> bool:
    """Tell whether a key begins with a bare column."""
    return key.partition(",")[0].strip().strip("`") == column


def _meaning(address: str, code: int | None, text: str) -> IcehaulError:
    if code == _PROJECTION_NOT_USED:
        return _RowsNeededError(f"ClickHouse at {address} would read rows", remedy="count them piece by piece")
    return source_error(address, code, text)
