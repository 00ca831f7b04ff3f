"""Batches and the units, files and evidence that belong to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.reconcile import ComparedPartition, Finding, LateRow, RecordedWindow
from consumer.domain.rewriting import Rewrite, Rewriting
from consumer.domain.window import Window

BATCH_NAMESPACE = UUID("5c0f4f0e-7a62-5d0a-9d5e-1ceca51e0001")
"""Namespace of batch ids (UUIDv5, RFC 9562)."""


class BatchKind(StrEnum):
    """What a batch does to the target table."""

    WINDOW = "window"
    SUPPLEMENT = "supplement"
    BACKFILL = "backfill"
    REPLACE = "replace-window"
    REWIND = "rewind"
    MAINTENANCE = "maintenance"
    """It puts data files in the place of others that hold the same rows."""


class BatchStatus(StrEnum):
    """Where a batch stands in the ledger."""

    WRITING = "writing"
    PUBLISHING = "publishing"
    PUBLISHED = "published"
    FAILED = "failed"
    EMPTY = "empty"
    WITHDRAWN = "withdrawn"
    """It was published or empty, and the target table does not prove it any more; its window is written again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceRange:
    """A half-open range ``lower <= (sequence columns) < upper`` inside one instant; ``None`` is unbounded.

    Bounds are the sequence columns' values as SQL-independent strings, one for each column.
    """

    lower: tuple[str, ...] | None
    upper: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRows:
    """Rows of a data file that is to go, which have to stay in the table: those outside of a window that is replaced.

    ``fingerprint`` is theirs, as it was found when the replacement was planned; with ``inside`` only those of them are
    meant that lie in that window.
    """

    path: str
    outside: Window
    fingerprint: Fingerprint
    inside: Window | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The part of a batch that one Spark task writes; it never crosses an Iceberg partition.

    ``rows`` and ``bytes`` (uncompressed, in the source) are the planner's estimates, hints for sizing only: what is
    recorded is what was read. With ``late`` only those rows of the window are read, by their full-row hashes; with
    ``kept`` rows of a data file are read, and none of the source; with ``rewriting`` whole data files are.
    """

    index: int
    window: Window
    rows: int
    sequence: SequenceRange | None = None
    bytes: int = 0
    late: tuple[LateRow, ...] | None = None
    kept: KeptRows | None = None
    rewriting: Rewriting | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """What a replacement does to a window that is done: ``content`` takes the place of all that is in it.

    Attributes:
        content: the rows that the hot tier held of the window when it was planned; others must not be published.
        files: paths of the data files that go.
    """

    content: Fingerprint
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remainder:
    """What a rewind leaves of the window that straddles its instant: the part below, as a window of its own.

    Attributes:
        id: the id under which that window is recorded as done.
        content: the rows that the table holds of it, and keeps.
        units: the units of the rewind that write such rows anew; the other rows stay in their files.
    """

    id: UUID
    window: Window
    content: Fingerprint
    units: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewind:
    """What a rewind makes true besides the removal of rows: windows are withdrawn, and the watermark is set back.

    Attributes:
        watermark: the instant to which the stream is set back.
        windows: the windows that reach above it, ascending, with what was recorded of each when they were looked at.
        remainder: what stays of the first of them, where that straddles the instant.
        last_upper: upper bound of the last window with rows that stays.
        partitions: the source's partitions with rows from the instant on, all of which have to be read again.
        hot: what the hot tier holds of the remainder, by its lower bound, where that is not what the table keeps of it.
        findings: what an operator still has to know of the remainder.
        reason: why rows may go that the hot tier does not hold, where somebody has insisted.
        held: epochs of the leases on dependants, all of which have to be the owner's when it becomes true.
    """

    watermark: datetime
    windows: tuple[RecordedWindow, ...]
    remainder: Remainder | None = None
    last_upper: datetime | None = None
    partitions: tuple[ComparedPartition, ...] = ()
    hot: Mapping[datetime, Fingerprint] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    reason: str | None = None
    held: Mapping[str, int] = field(default_factory=dict)

    @property
    def since(self) -> datetime:
        """The instant from which on everything that is done is withdrawn: the beginning of the first window."""
        return self.windows[0].window.lower


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A stream's window, planned: one Spark job, one snapshot.

    A supplement adds late rows to a window that is done, a replacement puts other rows in the place of its rows:
    ``base`` is the content of that window, as it was recorded, which they were computed from. ``revision`` counts how
    often the window's rows have been replaced once the batch is published; ``lateness`` is the histogram of late rows.
    A backfill's window lies in history, and is done for the ``request`` with this id. A rewind takes the rows of its
    window out of the table; its generation is the one that it ends. A ``rewrite`` changes no row.
    """

    id: UUID
    stream: str
    kind: BatchKind
    window: Window
    generation: int
    units: tuple[Unit, ...]
    base: Fingerprint | None = None
    lateness: tuple[int, ...] | None = None
    request: UUID | None = None
    revision: int = 0
    replacement: Replacement | None = None
    rewind: Rewind | None = None
    rewrite: Rewrite | None = None

    @property
    def empty(self) -> bool:
        """Whether the source held no row in the window when it was planned, and there is nothing to be replaced."""
        return not self.units and self.replacement is None

    @property
    def proves(self) -> int:
        """The generation that the table is at once the batch is published: a rewind begins the next one."""
        return self.generation if self.rewind is None else self.generation + 1

    @property
    def base_revision(self) -> int:
        """How often the window's rows had been replaced when the batch was computed."""
        return self.revision - 1 if self.replacement is not None else self.revision

    @property
    def rows(self) -> int:
        """How many rows the planner counted."""
        return sum(unit.rows for unit in self.units)

    @property
    def bytes(self) -> int:
        """How many uncompressed bytes the planner expects them to be in the source."""
        return sum(unit.bytes for unit in self.units)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFile:
    """A data file that a task attempt wrote, and the fingerprint of the rows that it read for it.

    ``kept`` tells that the rows are not the batch's own: they come from a data file that goes. ``footer_crc`` is the
    CRC-32 of the footer as it was written, ``None`` where its writer did not keep it; ``sort_order`` is the number of
    the table's sort order in which the rows stand, ``None`` for any order.
    """

    unit: int
    path: str
    bytes: int
    fingerprint: Fingerprint
    kept: bool = False
    footer_crc: int | None = None
    sort_order: int | None = None


def content_of_files(files: Iterable[WrittenFile]) -> Fingerprint:
    """Return the fingerprint of a batch's own rows in its files."""
    return sum((file.fingerprint for file in files if not file.kept), EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the current snapshot's ancestry says of a stream's progress.

    ``batch_id`` is the batch that was published last; ``upper`` is the last non-empty upper, ``None`` where supplements
    alone were published; ``snapshot_id`` is the snapshot that said so.
    """

    upper: datetime | None
    generation: int
    batch_id: UUID
    snapshot_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the ledger has recorded a stream: the counterpart of :class:`Evidence`.

    Attributes:
        last_upper: upper bound of the last window that had rows.
        generation: the stream's generation.
        last_batch_id: the batch that was published last, of whatever kind.
    """

    last_upper: datetime | None = None
    generation: int = 1
    last_batch_id: UUID | None = None


def batch_id(
    *,
    source_uuid: UUID,
    target_uuid: UUID,
    kind: BatchKind,
    window: Window,
    generation: int,
    base: Fingerprint | None = None,
    revision: int = 0,
) -> UUID:
    """Return the deterministic id of a batch: the same work has the same id, whoever plans it.

    Supplements and replacements of one window are told apart by the ``base`` that they were computed from. Contents
    come back once rows are replaced, so the number of replacements belongs to it.
    """
    parts = [
        str(source_uuid),
        str(target_uuid),
        kind,
        window.lower.isoformat(),
        window.upper.isoformat(),
        str(generation),
    ]
    if base is not None:
        parts += [str(base.rows), base.hex]
    if revision:
        parts.append(str(revision))
    return uuid5(BATCH_NAMESPACE, "|".join(parts))
