"""A catalogue of tables that exists by arithmetic only: as many partitions, shards and streams as one likes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from consumer.domain.partition_bounds import PartitionBounds
from consumer.domain.stream import BatchBounds, Stream, TableName
from consumer.domain.window import Window
from consumer.ports import Bucket, Extent, Step
from consumer.testing.source import MemorySource

DAY = timedelta(days=1)
END = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 200_000
"""Rows of one day on one shard."""
_ROW_BYTES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much there is: days and shards make the partitions of each stream's table."""

    streams: int
    days: int
    shards: int

    @property
    def partitions(self) -> int:
        """Partitions of one table."""
        return self.days * self.shards

    def __str__(self) -> str:
        return f"{self.streams:,} streams, {self.partitions:,} partitions each on {self.shards:,} shards"


class SimulatedCatalogue(MemorySource):
    """A source of tables with a partition for each day on each shard; counts what the planner asks it, and is given.

    Attributes:
        questions: how often it was asked.
        given: partitions and buckets that it has answered with.
    """

    def __init__(self, size: Size) -> None:
        super().__init__(END)
        self.size = size
        self.begin = END - size.days * DAY
        self.questions = 0
        self.given = 0

    def streams(self) -> Iterator[Stream]:
        """Yield the streams."""
        for number in range(self.size.streams):
            table = TableName(database="market", table=f"trades_{number}")
            bounds = BatchBounds(rows=2 * ROWS * self.size.shards, bytes=1 << 50, unit_rows=ROWS * self.size.shards)
            yield Stream(name=f"trades_{number}", source=table, target=table, timestamp_column="ts", bounds=bounds)

    def partition_bounds(self, stream: Stream, window: Window, most: int) -> Sequence[PartitionBounds] | None:
        """Return the first ``most`` partitions that reach into a window."""
        del stream
        self.questions += 1
        first = max(0, (window.lower - self.begin) // DAY)
        found = []
        for place in range(first * self.size.shards, min(self.size.partitions, first * self.size.shards + most)):
            start = self.begin + (place // self.size.shards) * DAY
            if start >= window.upper:
                break
            found.append(
                PartitionBounds(
                    first=start, last=start + DAY - timedelta(seconds=1), rows=ROWS, bytes=ROWS * _ROW_BYTES
                )
            )
        self.given += len(found)
        return found

    def extent(self, stream: Stream, window: Window) -> Extent:
        """Count the rows of a window, spread evenly."""
        del stream
        self.questions += 1
        rows = int(ROWS * self.size.shards * ((window.upper - window.lower) / DAY))
        return Extent(rows=rows, bytes=rows * _ROW_BYTES, first=window.lower, last=window.upper)

    def histogram(self, stream: Stream, window: Window, step: Step) -> Sequence[Bucket]:
        """Count the rows of a window by steps, spread evenly."""
        del stream
        self.questions += 1
        found, start = [], step.floor(max(window.lower, self.begin))
        while start < min(window.upper, END):
            rows = int(ROWS * self.size.shards * ((step.end(start) - start) / DAY))
            found.append(Bucket(start=start, rows=rows, bytes=rows * _ROW_BYTES))
            start = step.end(start)
        self.given += len(found)
        return found
