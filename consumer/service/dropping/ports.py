"""What dropping from the hot tier needs of the world."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from consumer.domain.fingerprint import Fingerprint
from consumer.domain.hot_drop import DropState, HotDrop, HotPartition
from consumer.domain.slices import DroppedRows
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import Window
from consumer.ports import Claim


class Partitions(Protocol):
    """The partitions of sources and quarantine tables: the only part of icehaul that changes the hot tier."""

    def partitions(self, stream: Stream, table: TableName) -> Sequence[HotPartition]:
        """List the non-empty partitions of the stream's source, or of a quarantine table of it."""
        ...

    def count(self, table: TableName, partition: str) -> int:
        """Count all rows of a partition, whatever their time."""
        ...

    def lacking(self, stream: Stream) -> Sequence[str]:
        """Return the grants that the user lacks for a drop, as GRANT takes them; none where the server can't tell."""
        ...

    def quarantines(self, stream: Stream) -> Sequence[TableName]:
        """Return the quarantine tables of the stream that exist, of any epoch."""
        ...

    def create(self, stream: Stream, quarantine: TableName) -> None:
        """Make a quarantine table like the source, but without a TTL; does nothing if it is there."""
        ...

    def move(self, partition: str, origin: TableName, destination: TableName) -> None:
        """Move all parts of a partition from one table to the other, at once; does nothing if there are none."""
        ...

    def drop(self, partition: str, quarantine: TableName) -> None:
        """Drop a partition of a quarantine table; does nothing if there is none."""
        ...

    def remove(self, quarantine: TableName) -> None:
        """Drop an empty quarantine table."""
        ...


class DropLog(Protocol):
    """The ledger's record of drops; every change is made under the fence.

    Raises:
        FencedError: of every change, if the epoch has moved on.
    """

    def begin(self, claim: Claim, drop: HotDrop) -> None:
        """Record a drop before its partition is moved."""
        ...

    def verified(self, claim: Claim, drop: UUID, fingerprint: Fingerprint, snapshot_id: int | None) -> None:
        """Record what was found in quarantine, and that the cold tier holds it."""
        ...

    def end(self, claim: Claim, drop: UUID, state: DropState, reason: str | None) -> None:
        """Record how a drop ended."""
        ...

    def open(self, stream: str) -> Sequence[HotDrop]:
        """Return the drops that have not ended, oldest first."""
        ...

    def dropped(self, stream: str) -> Sequence[DroppedRows]:
        """Return all that was ever dropped from the stream's source."""
        ...

    def windows(self, stream: str) -> Sequence[Window]:
        """Return the stretches of time of partitions that were dropped, or are being dropped."""
        ...
