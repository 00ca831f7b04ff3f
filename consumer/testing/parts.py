"""What the parts of tables in memory tell: partitions by day, as a hot tier lists them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from consumer.domain.inventory import Partition, PartitionContent
from consumer.domain.stream import TableName
from consumer.domain.window import PartitionBy


@dataclass(slots=True, kw_only=True)
class _Parts:
    """What the parts of one partition tell, rows and times apart."""

    min_block: int
    max_block: int
    data_version: int = 0
    modified: datetime


class MemoryParts:
    """Block numbers, data versions and modification times of all partitions."""

    def __init__(self) -> None:
        self._parts: dict[tuple[TableName, datetime], _Parts] = {}
        self._blocks = 0

    def inserted(self, table: TableName, times: Iterable[datetime], now: datetime) -> None:
        """Take note of one insert: one block, and one new part in each partition that it touches."""
        self._blocks += 1
        for day in {PartitionBy.DAY.floor(time) for time in times}:
            parts = self._parts.setdefault(
                (table, day), _Parts(min_block=self._blocks, max_block=self._blocks, modified=now)
            )
            parts.max_block, parts.modified = self._blocks, now

    def mutated(self, table: TableName, times: Iterable[datetime], now: datetime) -> None:
        """Take note of one mutation of the partitions that hold these instants."""
        self._blocks += 1
        for day in {PartitionBy.DAY.floor(time) for time in times}:
            parts = self._parts.get((table, day))
            if parts is not None:
                parts.data_version, parts.modified = self._blocks, now

    def dropped(self, table: TableName, day: datetime) -> None:
        """Take note that a day was dropped: what is inserted into it later begins with a block of its own."""
        self._parts.pop((table, day), None)

    def forget(self, table: TableName) -> None:
        """Take note that a table is gone."""
        self._parts = {key: parts for key, parts in self._parts.items() if key[0] != table}

    def exchange(self, one: TableName, other: TableName) -> None:
        """Take note that two tables have exchanged their names."""
        names = {one: other, other: one}
        self._parts = {(names.get(table, table), day): parts for (table, day), parts in self._parts.items()}

    def partitions(self, table: TableName, times: Iterable[datetime]) -> tuple[Partition, ...]:
        """Return the partitions of a table that holds rows of these instants."""
        days: dict[datetime, list[datetime]] = {}
        for time in times:
            days.setdefault(PartitionBy.DAY.floor(time), []).append(time)
        return tuple(self._partition(table, day, days[day]) for day in sorted(days))

    def _partition(self, table: TableName, day: datetime, times: list[datetime]) -> Partition:
        parts = self._parts.get((table, day)) or _Parts(min_block=0, max_block=0, modified=max(times))
        return Partition(
            id=f"{day:%Y%m%d}",
            content=PartitionContent(
                rows=len(times),
                min_block=parts.min_block,
                max_block=parts.max_block,
                data_version=parts.data_version,
            ),
            modified=parts.modified,
            first=min(times),
            last=max(times),
        )
