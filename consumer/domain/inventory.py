"""What a source table's partitions hold, and which of that identifies their content."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from consumer.domain.clickhouse_type import parse_type
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
_DATES = frozenset({"Date", "Date32"})
_UTC = frozenset({"UTC", "Etc/UTC"})
_ELEMENT = re.compile(r"(?:(\w+)\()?`?(\w+)`?(\))?")
# Commas that no parenthesis encloses; the keys that matter here have calls of one level only.
_BETWEEN = re.compile(r",\s*(?![^()]*\))")


def find_period(*, partition_key: str, time_column: str, time_type: str, server_zone: str) -> PartitionBy | None:
    """Return the UTC calendar span that one value of a partition key covers on the time column.

    The finest span wins where the key has several. ``None`` where the key has no such span, or its calendar
    is not UTC: a day that begins at another zone's midnight is no UTC day.
    """
    parsed = parse_type(time_type)
    is_date = parsed.name in _DATES
    zone = next((argument for argument in parsed.arguments if isinstance(argument, str)), server_zone)
    if not is_date and zone not in _UTC:
        return None
    found = set()
    for element in _elements(partition_key):
        match = _ELEMENT.fullmatch(element)
        if match is None or match.group(2) != time_column:
            continue
        function = match.group(1)
        found.add(_PERIODS.get(function) if function else PartitionBy.DAY if is_date else None)
    return next((period for period in _FINE_TO_COARSE if period in found), None)


def _elements(partition_key: str) -> list[str]:
    """Split a partition key, which is one expression or a tuple of them as in ``(exchange, toDate(time))``."""
    key = partition_key.strip().removeprefix("tuple")
    if key.startswith("(") and key.endswith(")"):
        key = key[1:-1]
    return [element.strip() for element in _BETWEEN.split(key)]
