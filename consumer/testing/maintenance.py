"""What a ledger in memory knows of maintenance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.maintenance import TaskName
from consumer.ports import Claim
from consumer.testing.batches import MemoryBatches

if TYPE_CHECKING:
    from consumer.testing.ledger import MemoryLedger


class MemoryMaintenance:
    """The port ``MaintenanceLedger``, with the rules of the real one."""

    def __init__(self, ledger: MemoryLedger, batches: MemoryBatches, now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._batches = batches
        self._now = now
        self._looked: dict[tuple[str, TaskName], datetime] = {}

    def looked(self, stream: str, task: TaskName) -> tuple[datetime | None, datetime]:
        """Return when a task last found nothing more to do, and the clock."""
        with self._ledger.database.mutex:
            return self._looked.get((stream, task)), self._now()

    def note(self, claim: Claim, task: TaskName) -> None:
        """Note that a task has nothing more to do now."""
        with self._ledger.row(claim.stream):
            self._ledger.fenced(claim)
            self._looked[claim.stream, task] = self._now()

    def abandon(self, claim: Claim) -> int:
        """Record rewrites of former owners as failed."""
        with self._ledger.row(claim.stream):
            self._ledger.fenced(claim)
            left = [
                stored
                for stored in self._batches.of(claim.stream)
                if stored.record.kind is BatchKind.MAINTENANCE
                and stored.record.status is BatchStatus.WRITING
                and stored.epoch < claim.epoch
            ]
            for stored in left:
                stored.record = replace(
                    stored.record, status=BatchStatus.FAILED, error="its owner has lost the lease", ended=self._now()
                )
            return len(left)
