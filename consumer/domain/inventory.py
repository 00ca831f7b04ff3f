"""What a source table's partitions hold, and which of that identifies their content."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from consumer.domain.stream import TableName
from consumer.domain.window import PartitionBy


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionContent:
    """What merges preserve, and inserts and mutations change.

    Attributes:
        rows: rows of all active parts.
        min_block: lowest block number.
        max_block: highest block number.
        data_version: version of the newest mutation that was applied, 0 where none was. (ClickHouse's own
            column of that name is no use as it is: in a part that no mutation touched, it is the lowest
            block number, which changes with every merge.)
    """

    rows: int
    min_block: int
    max_block: int
    data_version: int

    @property
    def id(self) -> str:
        """Hash of the content: 32 hexadecimal digits."""
        text = f"{self.rows}|{self.min_block}|{self.max_block}|{self.data_version}"
        return sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One non-empty partition of a source table.

    Attributes:
        id: ClickHouse's partition id.
        modified: when its newest part was written, by the server's clock (UTC).
        first: smallest value of the stream's time column (UTC).
        last: greatest value of the stream's time column (UTC).
    """

    id: str
    content: PartitionContent
    modified: datetime
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The partitions of a source table.

    Attributes:
        partitions: empty for a table without a partition key, which has nothing to close.
        period: calendar span (UTC) that a partition covers on the time column, ``None`` where the partition
            key doesn't tell.
        precision: smallest step of the time column.
    """

    table: TableName
    partitions: tuple[Partition, ...]
    period: PartitionBy | None
    precision: timedelta


_PERIODS = {
    "toYear": PartitionBy.YEAR,
    "toStartOfYear": PartitionBy.YEAR,
    "toYYYYMM": PartitionBy.MONTH,
    "toStartOfMonth": PartitionBy.MONTH,
    "toYYYYMMDD": PartitionBy.DAY,
    "toDate": PartitionBy.DAY,
    "toDate32": PartitionBy.DAY,
    "toStartOfDay": PartitionBy.DAY,
    "toStartOfHour": PartitionBy.HOUR,
}
_FINE_TO_COARSE = (PartitionBy.HOUR, PartitionBy.DAY, PartitionBy.MONTH, PartitionBy.YEAR)
_CALL = re.compile(r"\b(\w+)\(`?(\w+)`?\)")


def find_period(*, partition_key: str, time_column: str, time_type: str, server_zone: str) -> PartitionBy | None:
    """Return the UTC calendar span that one value of a partition key covers on the time column.

    The finest span wins where the key has several. ``None`` where the key has no such span, or its calendar
    is not UTC: a day that begins at another zone's midnight is no UTC day.
    """
    base = bare_type(time_type)
    if base not in {"Date", "Date32"} and time_zone(time_type, server_zone) not in {"UTC", "Etc/UTC"}:
        return None
    found = {_PERIODS.get(call.group(1)) for call in _CALL.finditer(partition_key) if call.group(2) == time_column}
    if base in {"Date", "Date32"} and time_column in re.split(r"[\s(),`]+", partition_key):
        found.add(PartitionBy.DAY)
    return next((period for period in _FINE_TO_COARSE if period in found), None)


def find_precision(time_type: str) -> timedelta | None:
    """Return the smallest step of a time type, never below a microsecond; ``None`` if it is no time type."""
    base = bare_type(time_type)
    if base in {"Date", "Date32"}:
        return timedelta(days=1)
    if base == "DateTime":
        return timedelta(seconds=1)
    if base == "DateTime64":
        digits = int(arguments(time_type)[0])
        return max(timedelta(microseconds=1), timedelta(microseconds=10 ** (6 - min(digits, 6))))
    return None


def bare_type(time_type: str) -> str:
    """Return a ClickHouse type's name without its arguments."""
    return time_type.partition("(")[0]


def arguments(time_type: str) -> tuple[str, ...]:
    """Return the arguments of a time type, quotes removed."""
    inner = time_type.partition("(")[2].rstrip(")")
    return tuple(part.strip().strip("'") for part in inner.split(",")) if inner else ()


def time_zone(time_type: str, server_zone: str) -> str:
    """Return the time zone in which ClickHouse's calendar functions read a column of this type."""
    given = arguments(time_type)[1 if bare_type(time_type) == "DateTime64" else 0 :]
    return given[0] if given else server_zone
