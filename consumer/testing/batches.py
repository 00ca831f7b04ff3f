"""The batches of a ledger in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from consumer.domain.adoption import Adoption
from consumer.domain.batch import Batch, BatchKind, BatchStatus, Rewind
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.lateness import NO_LATENESS, add_lateness
from consumer.domain.reconcile import DonePart, PartKind
from consumer.domain.window import Window
from consumer.ports import BatchRecord, Trigger

_WITHOUT_ROWS = (BatchKind.REWIND, BatchKind.MAINTENANCE)
"""Kinds of batches that bring no rows into a window."""

DONE = (BatchStatus.PUBLISHED, BatchStatus.EMPTY)
"""States that a batch does not leave."""


@dataclass(slots=True, kw_only=True)
class StoredBatch:
    """A batch with what no caller of the ledger is shown: the epoch of its latest attempt, lateness and revision."""

    record: BatchRecord
    epoch: int
    lateness: tuple[int, ...] = NO_LATENESS
    revision: int = 0
    withdrawn_by: UUID | None = None

    @property
    def fingerprint(self) -> Fingerprint:
        """What was published; nothing where it was empty."""
        record = self.record
        return EMPTY if record.digest is None else Fingerprint.parse(rows=record.rows, hexadecimal=record.digest)


class MemoryBatches:
    """What ``offload_batches`` holds; the ledger's mutex protects it."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._stored: dict[UUID, StoredBatch] = {}

    def get(self, batch_id: UUID) -> StoredBatch | None:
        """Return a batch."""
        return self._stored.get(batch_id)

    def status(self, batch_id: UUID) -> BatchStatus | None:
        """Return a batch's status, ``None`` where it is unknown."""
        stored = self._stored.get(batch_id)
        return None if stored is None else stored.record.status

    def close(self, stream: str, before_epoch: int, error: str) -> int:
        """Let batches fail that owners before an epoch have left as being written, and return how many."""
        left = [
            stored
            for stored in self.of(stream)
            if stored.record.status is BatchStatus.WRITING and stored.epoch < before_epoch
        ]
        for stored in left:
            stored.record = replace(stored.record, status=BatchStatus.FAILED, error=error, ended=self._now())
        return len(left)

    def latest(self, stream: str, limit: int) -> Sequence[BatchRecord]:
        """Return a stream's latest batches, newest first."""
        found = [stored.record for stored in self._stored.values() if stored.record.stream == stream]
        found.sort(key=lambda record: (record.started, record.window.upper), reverse=True)
        return found[:limit]

    def ends_at(self, stream: str, instant: datetime) -> bool:
        """Tell whether a live window that is done ends at an instant."""
        return any(record.window.upper == instant for record in self._chain(stream))

    def covered(self, stream: str) -> timedelta:
        """Return how much time the live windows that are done cover."""
        return sum((record.window.upper - record.window.lower for record in self._chain(stream)), timedelta(0))

    def _chain(self, stream: str) -> list[BatchRecord]:
        return [
            stored.record
            for stored in self.of(stream)
            if stored.record.kind is BatchKind.WINDOW and stored.record.status in DONE
        ]

    def overlaps(self, batch: Batch) -> bool:
        """Tell whether a window that is done overlaps the batch's."""
        return any(_overlaps(stored, batch) for stored in self._stored.values())

    def done(self, stream: str, within: Window) -> list[DonePart]:
        """Return the windows that are done and overlap a stretch of time, and all that changed them since."""
        parts = self._done(stream)
        windows = [
            part
            for part in parts
            if part.kind is PartKind.WINDOW and part.window.lower < within.upper and within.lower < part.window.upper
        ]
        others = (part for part in parts if part.kind is not PartKind.WINDOW)
        return windows + [
            part for part in others if any(window.window.contains(part.window.lower) for window in windows)
        ]

    def _done(self, stream: str) -> list[DonePart]:
        return [
            DonePart(
                kind=PartKind.of(record.kind),
                window=record.window,
                fingerprint=stored.fingerprint,
                revision=stored.revision,
            )
            for stored in self._stored.values()
            if (record := stored.record).stream == stream and record.status in DONE and record.kind not in _WITHOUT_ROWS
        ]

    def of(self, stream: str) -> list[StoredBatch]:
        """Return every batch of a stream."""
        return [stored for stored in self._stored.values() if stored.record.stream == stream]

    def delete(self, batch_id: UUID) -> None:
        """Delete a batch."""
        del self._stored[batch_id]

    def last_rows(self, stream: str, before: datetime) -> datetime | None:
        """Return the upper bound of the last window with rows that ends at an instant or before it."""
        uppers = (
            record.window.upper
            for stored in self._stored.values()
            if (record := stored.record).stream == stream
            and (record.kind, record.status) == (BatchKind.WINDOW, BatchStatus.PUBLISHED)
            and record.window.upper <= before
        )
        return max(uppers, default=None)

    def withdraw(self, stream: str, since: datetime, *, by: UUID) -> list[BatchRecord]:
        """Withdraw everything that is done from an instant on, but for rewinds and rewrites; return what it was."""
        taken = [
            stored
            for stored in self._stored.values()
            if stored.record.stream == stream
            and stored.record.status in DONE
            and stored.record.kind not in _WITHOUT_ROWS
            and stored.record.window.lower >= since
        ]
        before = [stored.record for stored in taken]
        for stored in taken:
            stored.record, stored.withdrawn_by = replace(stored.record, status=BatchStatus.WITHDRAWN), by
        return before

    def leave(self, batch: Batch, rewind: Rewind, record: BatchRecord, epoch: int) -> None:
        """Record what a rewind leaves of the window that straddles its instant; ``record`` is the rewind's own."""
        left = rewind.remainder
        if left is None:
            return
        rows = left.content.rows
        kept = replace(
            record,
            batch_id=left.id,
            kind=BatchKind.WINDOW,
            window=left.window,
            generation=batch.generation + 1,
            status=BatchStatus.PUBLISHED if rows else BatchStatus.EMPTY,
            rows=rows,
            bytes=0,
            digest=left.content.hex if rows else None,
            snapshot_id=record.snapshot_id if rows else None,
        )
        self._stored[left.id] = StoredBatch(record=kept, epoch=epoch)

    def superseded(self, stored: StoredBatch) -> bool:
        """Tell whether the rows of a batch were replaced by a later one."""
        record = stored.record
        return any(
            later.record.kind is BatchKind.REPLACE
            and later.record.stream == record.stream
            and later.record.status in DONE
            and later.record.window.contains(record.window.lower)
            and later.revision > stored.revision
            for later in self._stored.values()
        )

    def lateness(self, stream: str) -> tuple[int, ...]:
        """Return the histogram of all late rows of a stream."""
        total = NO_LATENESS
        for stored in self._stored.values():
            if stored.record.stream == stream and stored.record.status is BatchStatus.PUBLISHED:
                total = add_lateness(total, stored.lateness)
        return total

    def put(self, batch: Batch, record: BatchRecord, epoch: int) -> None:
        """Store a batch under an epoch."""
        self._stored[batch.id] = StoredBatch(
            record=record, epoch=epoch, lateness=batch.lateness or NO_LATENESS, revision=batch.revision
        )

    def adopt(self, adoption: Adoption, batch: Batch, record: BatchRecord, epoch: int) -> None:
        """Store the windows of an adoption like its last one."""
        for one in adoption.windows[:-1]:
            fingerprint = one.fingerprint
            stored = replace(record, batch_id=one.id, window=one.window, rows=fingerprint.rows, digest=fingerprint.hex)
            self.put(replace(batch, id=one.id, window=one.window), stored, epoch)

    def record(self, batch: Batch, trigger: Trigger, *, status: BatchStatus) -> BatchRecord:
        """Return the record of a batch that takes on a status now."""
        stored = self._stored.get(batch.id)
        now = self._now()
        again = stored is not None and status is not BatchStatus.WRITING
        return BatchRecord(
            batch_id=batch.id,
            stream=batch.stream,
            kind=batch.kind,
            window=batch.window,
            generation=batch.generation,
            status=status,
            rows=0,
            bytes=0,
            digest=None,
            snapshot_id=None,
            attempts=1 if stored is None else stored.record.attempts,
            error=None,
            trace_id=trigger.trace_id,
            started=stored.record.started if again and stored is not None else now,
            ended=now,
        )

    def empty(self, batch: Batch, trigger: Trigger) -> BatchRecord:
        """Return the record of an empty window; it takes in an empty one that ends where it begins."""
        record = self.record(batch, trigger, status=BatchStatus.EMPTY)
        if batch.id in self._stored:
            return record
        for stored in self._stored.values():
            before = stored.record
            if (before.stream, before.generation, before.status, before.kind) == (
                batch.stream,
                batch.generation,
                BatchStatus.EMPTY,
                BatchKind.WINDOW,
            ) and before.window.upper == batch.window.lower:
                del self._stored[before.batch_id]
                window = replace(batch.window, lower=before.window.lower)
                return replace(record, window=window, started=before.started, attempts=before.attempts)
        return record


def _overlaps(other: StoredBatch, batch: Batch) -> bool:
    record = other.record
    return (
        record.stream == batch.stream
        and record.kind in {BatchKind.WINDOW, BatchKind.BACKFILL}
        and record.status in DONE
        and record.window.upper > batch.window.lower
        and record.window.lower < batch.window.upper
    )
