"""What restoring needs of the world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from pyiceberg.schema import Schema

from consumer.domain.batch import Evidence
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.hot_drop import HotDrop
from consumer.domain.mapping import TableMapping
from consumer.domain.restore import Change, RestoreMark
from consumer.domain.row_order import RowOrder
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import Window
from consumer.ports import Claim, SourceTable


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A data file of a snapshot."""

    path: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PastTable:
    """A target as one of its snapshots has it.

    Attributes:
        uuid: the table's UUID.
        schema: the table's columns, with their docs.
        order: the order of rows in its files.
        snapshot_id: the snapshot; ``None`` where the table has none.
        evidence: what the current snapshot proves.
        changes: what the snapshots after this one say to have done.
    """

    uuid: UUID
    schema: Schema
    order: RowOrder
    snapshot_id: int | None
    evidence: Evidence | None
    changes: Sequence[Change]


class PastTables(Protocol):
    """The cold tier's tables at present and former snapshots."""

    def past(self, table: TableName, snapshot: int | str | None) -> PastTable | None:
        """Return a table at a snapshot: of an id, of a tag, or the current one; ``None`` where there is no table.

        Raises:
            ConfigurationError: if the table has no such snapshot among those that led to the current one.
        """
        ...

    def files_at(self, table: TableName, snapshot_id: int, window: Window) -> Sequence[DataFile]:
        """Return the data files of a snapshot that may hold rows of a window.

        Raises:
            ConfigurationError: if the snapshot has expired meanwhile.
            TargetMismatchError: if another engine has deleted single rows, which the files still hold.
        """
        ...


class RestoreServer(Protocol):
    """The ClickHouse server, as far as restoring goes: it reads the files, and writes staging tables."""

    def describe(self, table: TableName) -> SourceTable | None:
        """Describe a MergeTree table; ``None`` where there is no table of this name.

        Raises:
            ConfigurationError: if there is no such database, or one that can't rename a table at once.
            StreamError: if a TTL of the table resets values of single columns.
            SourceMissingError: if the table is of another kind.
        """
        ...

    def now(self) -> datetime:
        """Return the server's time."""
        ...

    def lacking(self, into: TableName) -> Sequence[str]:
        """Return the grants that the user lacks, as GRANT takes them; none where the server can't tell."""
        ...

    def tally_files(
        self, stream: Stream, mapping: TableMapping, windows: Sequence[Window], files: Sequence[DataFile]
    ) -> Sequence[Fingerprint]:
        """Return count and digest of the files' rows in contiguous windows."""
        ...

    def tally(self, stream: Stream, mapping: TableMapping, windows: Sequence[Window]) -> Sequence[Fingerprint]:
        """Return count and digest of the rows of the stream's source in contiguous windows."""
        ...

    def difference(
        self, stream: Stream, mapping: TableMapping, window: Window, files: Sequence[DataFile]
    ) -> tuple[int, int]:
        """Return how many rows of a window stand in the stream's source only, and in the files only."""
        ...

    def first_instant(self, stream: Stream, mapping: TableMapping, files: Sequence[DataFile]) -> datetime | None:
        """Return the instant of the first row of files."""
        ...

    def stagings(self, into: TableName) -> Sequence[tuple[TableName, RestoreMark]]:
        """Return the staging tables of runs for this table, with what their comments say."""
        ...

    def create(self, into: TableName, staging: TableName, statement: str) -> None:
        """Make a staging table by this statement, and take the TTL from it that it may have got."""
        ...

    def insert(
        self, stream: Stream, mapping: TableMapping, staging: TableName, window: Window, files: Sequence[DataFile]
    ) -> None:
        """Put the rows of files that lie in a window into a staging table, in the table's types."""
        ...

    def partitions(self, table: TableName) -> Sequence[str]:
        """Return the ids of a table's non-empty partitions."""
        ...

    def move(self, partition: str, staging: TableName, into: TableName) -> None:
        """Move a partition from one table to the other, at once."""
        ...

    def rename(self, table: TableName, name: TableName) -> None:
        """Give a table another name, which nothing may have.

        Raises:
            StreamError: if something has it.
        """
        ...

    def remove(self, staging: TableName) -> None:
        """Drop a staging table, once no query of it is left."""
        ...


class DroppedRows(Protocol):
    """The ledger's record of what was dropped from a stream's source."""

    def gone(self, stream: str) -> Sequence[HotDrop]:
        """Return the drops whose rows have gone from the source, oldest first."""
        ...

    def open(self, stream: str) -> Sequence[HotDrop]:
        """Return the drops that have not ended, oldest first."""
        ...

    def restored(self, claim: Claim, drops: Sequence[UUID], reason: str) -> None:
        """Record, under the fence, that the rows of drops stand in the source again.

        Raises:
            FencedError: if the epoch has moved on.
        """
        ...
