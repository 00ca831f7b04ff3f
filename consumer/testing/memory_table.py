"""A target table in memory: its snapshots, the files that they list, and what it proves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from pyiceberg.schema import Schema

from consumer.domain.batch import Evidence, WrittenFile
from consumer.domain.repair import Lineage
from consumer.domain.stream import TableName
from consumer.domain.window import PartitionBy, Window

LiveFile = tuple[WrittenFile, Window]
"""A data file of a table, with the window that its rows lie in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySnapshot:
    """A snapshot: its live files with the windows of their rows, what it did, and the evidence that it carries."""

    id: int
    parent: int | None
    files: tuple[LiveFile, ...]
    evidence: Evidence | None = None
    operation: str = "append"


@dataclass(slots=True, kw_only=True)
class MemoryTable:
    """A table; ``snapshots`` holds those that are not expired, ``repeated`` what its properties say.

    ``removed`` tells that the rows of the window there were taken out of the table; ``deletes`` are the delete files of
    another engine that apply to data files, by path.
    """

    name: TableName
    owner: str
    uuid: UUID
    schema: Schema
    partition_by: PartitionBy
    snapshots: dict[int, MemorySnapshot] = field(default_factory=dict)
    current: int | None = None
    version: int = 0
    repeated: tuple[Evidence, Window] | None = None
    removed: bool = False
    deletes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def ancestry(self) -> Iterator[MemorySnapshot]:
        """Yield the current snapshot and its ancestors, down to where expiry has been."""
        known = None if self.current is None else self.snapshots.get(self.current)
        while known is not None:
            yield known
            known = None if known.parent is None else self.snapshots.get(known.parent)

    def evidence(self) -> Evidence | None:
        """Return the newest evidence on the ancestry; the properties' where expiry hides it and rows are alive."""
        oldest = None
        for snapshot in self.ancestry():
            if snapshot.evidence is not None:
                return snapshot.evidence
            oldest = snapshot
        if oldest is None or oldest.parent is None or self.repeated is None:
            return None
        evidence, window = self.repeated
        if evidence.snapshot_id in self.snapshots and evidence.snapshot_id > oldest.id:
            # It is newer than an ancestor, and none itself: the table was rolled back.
            return None
        alive = any(overlap(live, window) for _, live in self.live())
        return evidence if alive is not self.removed else None

    def lineage(self) -> Lineage:
        """Return the current snapshot and its ancestors, as far as they are there."""
        ancestry = list(self.ancestry())
        return Lineage(
            snapshot_ids=frozenset(one.id for one in ancestry),
            batch_ids=frozenset(one.evidence.batch_id for one in ancestry if one.evidence is not None),
            whole=not ancestry or ancestry[-1].parent is None,
        )

    def live(self) -> tuple[LiveFile, ...]:
        """Return the live files of the current snapshot."""
        return () if self.current is None else self.snapshots[self.current].files


def overlap(one: Window, other: Window) -> bool:
    """Tell whether two windows have an instant in common."""
    return one.lower < other.upper and other.lower < one.upper
