"""The hot tier: ClickHouse."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from consumer.domain.fingerprint import Fingerprint
from consumer.domain.inventory import PartitionContent
from consumer.domain.mapping import SourceColumn, TableMapping
from consumer.domain.mode_rules import TableShape
from consumer.domain.partition_bounds import PartitionBounds
from consumer.domain.reconcile import (
    Difference,
    PartitionSpan,
)
from consumer.domain.replacement import FileShare
from consumer.domain.step import Step
from consumer.domain.stream import Stream, TableName
from consumer.domain.table_ttl import RowTtl, TtlAction
from consumer.domain.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTable:
    """A source table as ClickHouse describes it now.

    ``ttls`` are the rules that take rows away; ``column_ttl`` tells whether one resets values of some column;
    ``server_zone`` is the server's time zone, in which dates begin; ``unstored`` are ALIAS and EPHEMERAL columns.
    """

    name: TableName
    uuid: UUID
    engine: str
    partition_key: str
    sorting_key: str
    columns: tuple[SourceColumn, ...]
    ttls: tuple[RowTtl, ...]
    server_zone: str
    column_ttl: bool = False
    unstored: tuple[SourceColumn, ...] = ()

    @property
    def shape(self) -> TableShape:
        """What decides which modes the table allows."""
        return TableShape(
            engine=self.engine,
            partition_key=self.partition_key,
            sorting_key=self.sorting_key,
            columns=self.columns,
            ttl_changes_rows=self.column_ttl or any(ttl.action is TtlAction.ROLL_UP for ttl in self.ttls),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What one look at a source told: what its partitions hold, by id, and what the table looks like.

    ``table`` is ``None`` where it has to be described again.
    """

    contents: Mapping[str, PartitionContent]
    table: SourceTable | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Rows of a stretch of the time column: how many, how large, from when to when (both inclusive)."""

    rows: int
    bytes: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Rows of one non-empty stretch of a histogram that starts at ``start`` and lasts one step."""

    start: datetime
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceReport:
    """What the sequence columns say of the source's completeness; a report, not a check.

    Attributes:
        repeated: rows beyond the first one with the same values in all sequence columns.
        gaps: numbers missing between the least and the greatest of the last sequence column, within equal values
            of the columns before it; ``None`` where there is no sequence column or the last one is no integer.
    """

    repeated: int
    gaps: int | None


class Source(Protocol):
    """The hot tier: ClickHouse."""

    def now(self) -> datetime:
        """Return the server's time in UTC: the only clock that windows follow."""
        ...

    def describe(self, table: TableName) -> SourceTable:
        """Describe a table.

        Raises:
            SourceMissingError: if the database or the table does not exist.
        """
        ...

    def extent(self, stream: Stream, window: Window) -> Extent:
        """Count the rows in a window; ``bytes`` is estimated from the table's uncompressed size."""
        ...

    def partition_bounds(self, stream: Stream, window: Window, most: int) -> Sequence[PartitionBounds] | None:
        """Return the first ``most`` partitions, by their first instants, that reach into a window; reads no row.

        Fewer than ``most`` are all there are. ``None`` where metadata does not tell when the rows of a partition were.
        """
        ...

    def first(self, stream: Stream, window: Window) -> datetime | None:
        """Return the instant of the first row in a window, found with as little reading as the table's keys allow."""
        ...

    def histogram(self, stream: Stream, window: Window, step: Step) -> Sequence[Bucket]:
        """Count the rows in a window by steps of the time column (UTC), ascending, empty steps left out."""
        ...

    def sequence_bounds(self, stream: Stream, window: Window, every: int) -> Sequence[tuple[str, ...]]:
        """Return the sequence columns' values at each ``every``-th row of a window, in their order.

        The values are distinct and ascending; the result is empty where they can't split the window.
        """
        ...

    def fingerprint(
        self, stream: Stream, mapping: TableMapping, window: Window, *, partition: str | None = None
    ) -> Fingerprint:
        """Return count and full-row digest of the rows in a window (and a partition), computed by ClickHouse."""
        ...

    def fingerprint_files(self, mapping: TableMapping, paths: Sequence[str]) -> Fingerprint:
        """Return count and full-row digest of data files on the store, computed by ClickHouse."""
        ...

    def sequence_report(self, stream: Stream, window: Window) -> SequenceReport:
        """Report repeated values and gaps of the sequence columns over the rows of a window."""
        ...

    def difference(
        self,
        stream: Stream,
        mapping: TableMapping,
        windows: Sequence[Window],
        paths: Sequence[str],
        *,
        partition: str | None = None,
    ) -> tuple[int, int]:
        """Return how many rows of disjoint windows (and a partition) are in the table, and in the data files, only.

        Rows are compared by full-row hash, and counted with multiplicity, by ClickHouse.
        """
        ...

    def survey(self, stream: Stream) -> Survey:
        """Return what every non-empty partition of the source holds, and its description where that is not new.

        A table without a partition key has one partition; an engine without parts, and a missing table, have none.
        """
        ...

    def spans(self, stream: Stream, partitions: Collection[str], watermark: datetime) -> Mapping[str, PartitionSpan]:
        """Return first and last instant of partitions, and their rows at or above ``watermark``, by id.

        A partition that is gone has none.
        """
        ...

    def tally(
        self, stream: Stream, mapping: TableMapping, windows: Sequence[Window], *, exact: bool
    ) -> Sequence[Fingerprint]:
        """Count the rows of windows that are contiguous and ascending, all in one reading of the table.

        The digests are computed where ``exact``, and 0 elsewhere.
        """
        ...

    def late_rows(
        self,
        stream: Stream,
        mapping: TableMapping,
        window: Window,
        paths: Sequence[str],
        *,
        not_before: datetime | None = None,
    ) -> Difference:
        """Return the multiset difference of a window's rows, table against data files, by full-row hash.

        The files may hold rows of other windows, which are left out. Rows older than ``not_before`` are too late.
        """
        ...

    def file_shares(
        self, stream: Stream, mapping: TableMapping, window: Window, paths: Sequence[str]
    ) -> Sequence[FileShare]:
        """Return count and digest of each data file's rows inside a window and outside, in the order of ``paths``."""
        ...
