"""The ledger's part of repairs in memory: the port ``RepairLedger``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from consumer.domain.batch import Batch, BatchKind, BatchStatus, WrittenFile
from consumer.domain.reconcile import ComparedPartition
from consumer.domain.repair import KnownBatch
from consumer.domain.window import Window
from consumer.ports import BatchRecord, Claim, Comparison
from consumer.service.repair.ports import RebuiltWindow, Repair
from consumer.testing.batches import DONE, MemoryBatches, StoredBatch
from consumer.testing.comparisons import MemoryComparisons
from consumer.testing.outbox import MemoryOutbox

if TYPE_CHECKING:
    from consumer.testing.ledger import MemoryLedger

_KINDS = (BatchKind.WINDOW, BatchKind.SUPPLEMENT, BatchKind.REPLACE, BatchKind.BACKFILL)


class MemoryRepairs:
    """What :class:`~consumer.adapters.postgres.repairs.PostgresRepairs` is, on a ledger in memory."""

    def __init__(
        self,
        ledger: MemoryLedger,
        batches: MemoryBatches,
        comparisons: MemoryComparisons,
        outbox: MemoryOutbox,
        now: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._batches = batches
        self._comparisons = comparisons
        self._outbox = outbox
        self._now = now

    def partitions(self, stream: str) -> Mapping[str, ComparedPartition]:
        """Return the partitions as they were last compared."""
        return self._ledger.partitions(stream)

    def known_batches(self, stream: str) -> Sequence[KnownBatch]:
        """Return every batch of a stream that is published, empty or withdrawn."""
        with self._ledger.database.mutex:
            return [
                _known(stored)
                for stored in self._batches.of(stream)
                if stored.record.status in {*DONE, BatchStatus.WITHDRAWN}
                and stored.record.kind is not BatchKind.MAINTENANCE
            ]

    def repair(self, claim: Claim, repair: Repair) -> None:
        """Do all of a repair at once; a second time its work is done."""
        with self._ledger.row(claim.stream):
            known = self._ledger.fenced(claim)
            if known.generation >= repair.generation:
                return
            self._withdraw(claim.stream, lambda batch: batch.batch_id in repair.withdrawn)
            for stored in self._batches.of(claim.stream):
                record = stored.record
                if (
                    record.batch_id in repair.reinstated
                    and record.status is BatchStatus.WITHDRAWN
                    and record.snapshot_id is not None
                ):
                    stored.record, stored.withdrawn_by = replace(record, status=BatchStatus.PUBLISHED), None
            self._ledger.recorded.give_back(repair.reinstated)
            for one in repair.rebuilt:
                self._withdraw(claim.stream, partial(_inside, one.window), by=one.id)
            self._withdraw(
                claim.stream,
                lambda batch: batch.kind is BatchKind.WINDOW and batch.window.lower >= repair.watermark,
            )
            for one in repair.rebuilt:
                self._rebuild(claim, repair, one)
            renewed = replace(
                known,
                watermark=repair.watermark,
                last_upper=repair.last_upper,
                last_batch_id=repair.last_batch_id,
                generation=repair.generation,
                source_uuid=repair.source_uuid,
                target_uuid=repair.target_uuid,
                adopted=repair.adopted,
            )
            self._comparisons.renew(claim.stream, Comparison(partitions=repair.partitions, findings=repair.findings))
            self._ledger.activate(renewed)
            for window in repair.backfills:
                self._ledger.backfills.reopen(claim.stream, window)
            self._outbox.send([repair.event])

    def delete(self, stream: str, positions: Collection[int] | None = None) -> None:
        """Delete batches by hand, as somebody might: those at these positions, oldest first, or all."""
        with self._ledger.database.mutex:
            ordered = sorted(self._batches.of(stream), key=lambda stored: (stored.record.window, stored.record.kind))
            for position, stored in enumerate(ordered):
                if positions is None or position in positions:
                    self._batches.delete(stored.record.batch_id)

    def _withdraw(self, stream: str, chosen: Callable[[BatchRecord], bool], *, by: UUID | None = None) -> None:
        for stored in self._batches.of(stream):
            record = stored.record
            if record.kind in _KINDS and record.status in DONE and chosen(record):
                stored.record, stored.withdrawn_by = replace(record, status=BatchStatus.WITHDRAWN), by

    def _rebuild(self, claim: Claim, repair: Repair, one: RebuiltWindow) -> None:
        filled = one.fingerprint.rows > 0
        batch = Batch(
            id=one.id,
            stream=claim.stream,
            kind=one.kind,
            window=one.window,
            generation=repair.generation,
            units=(),
        )
        now = self._now()
        record = BatchRecord(
            batch_id=one.id,
            stream=claim.stream,
            kind=one.kind,
            window=one.window,
            generation=repair.generation,
            status=BatchStatus.PUBLISHED if filled else BatchStatus.EMPTY,
            rows=one.fingerprint.rows,
            bytes=sum(file.bytes for file in one.files) if filled else 0,
            digest=one.fingerprint.hex if filled else None,
            snapshot_id=repair.snapshot_id if filled else None,
            attempts=1,
            error=None,
            trace_id=None,
            started=now,
            ended=now,
        )
        self._batches.put(batch, record, claim.epoch)
        for unit, file in enumerate(one.files):
            self._ledger.recorded.own(
                one.id, WrittenFile(unit=unit, path=file.path, bytes=file.bytes, fingerprint=file.fingerprint)
            )


def _inside(window: Window, batch: BatchRecord) -> bool:
    return window.contains(batch.window.lower)


def _known(stored: StoredBatch) -> KnownBatch:
    record = stored.record
    return KnownBatch(
        id=record.batch_id,
        kind=record.kind,
        window=record.window,
        status=record.status,
        fingerprint=stored.fingerprint,
        revision=stored.revision,
        snapshot_id=record.snapshot_id,
        epoch=stored.epoch,
        ended=record.ended or record.started,
        withdrawn_by=stored.withdrawn_by,
    )
