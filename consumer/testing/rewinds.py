"""Rewinds in a ledger in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from consumer.domain.batch import Batch, BatchStatus, Rewind
from consumer.domain.reconcile import recorded_windows
from consumer.domain.rewind import RewindPlace, check_held, check_rewind
from consumer.domain.window import Window
from consumer.ports import BatchRecord, Claim, Comparison, StreamRecord, Trigger
from consumer.testing.batches import MemoryBatches
from consumer.testing.comparisons import MemoryComparisons

if TYPE_CHECKING:
    from consumer.testing.ledger import MemoryLedger


class MemoryRewinds:
    """The port ``RewindLedger``, and what a publish does for a rewind, with the rules of the real one."""

    def __init__(self, ledger: MemoryLedger, batches: MemoryBatches, comparisons: MemoryComparisons) -> None:
        self._ledger = ledger
        self._batches = batches
        self._comparisons = comparisons
        self._intended: dict[int, tuple[str, datetime]] = {}

    def intend(self, snapshot_id: int, batch: Batch) -> None:
        """Note that a commit to a catalog elsewhere is about to be made, if it is a rewind's."""
        if batch.rewind is not None:
            self._intended[snapshot_id] = batch.stream, batch.rewind.watermark

    def settle(self, snapshot_id: int) -> None:
        """Forget a commit whose outcome is known."""
        self._intended.pop(snapshot_id, None)

    def open(self, stream: str) -> Sequence[datetime]:
        """Return the instants to which rewinds of a stream may have been committed already."""
        return [to for name, to in self._intended.values() if name == stream]

    def last_rows(self, stream: str, before: datetime) -> datetime | None:
        """Return the upper bound of the last window with rows that ends at an instant or before it."""
        with self._ledger.database.mutex:
            return self._batches.last_rows(stream, before)

    def set_back(self, claim: Claim, batch: Batch, rewind: Rewind, trigger: Trigger) -> None:
        """Rewind a stream over windows without rows, for which the table need not change; under the fence."""
        with self._ledger.row(claim.stream, *rewind.held):
            known = self._ledger.fenced(claim)
            self.check(batch, rewind, known, claim.owner)
            record = self._batches.record(batch, trigger, status=BatchStatus.EMPTY)
            self._batches.put(batch, record, claim.epoch)
            self._ledger.put(self.apply(batch, rewind, record, known))

    def check(self, batch: Batch, rewind: Rewind, known: StreamRecord, owner: str) -> None:
        """Check the predicate of a rewind against the locked record, and the leases on dependants."""
        above = Window(lower=rewind.watermark, upper=max(known.watermark, batch.window.upper))
        done = self._batches.done(batch.stream, above)
        place = RewindPlace(
            status=self._batches.status(batch.id),
            generation=known.generation,
            watermark=known.watermark,
            windows=recorded_windows(done, self._comparisons.hot(batch.stream)),
            last_upper=self._batches.last_rows(batch.stream, rewind.since),
        )
        check_rewind(batch, rewind, place)
        records = self._ledger.read(list(rewind.held))
        check_held(rewind, owner, {name: (one.epoch, one.owner) for name, one in records.items()})

    def apply(self, batch: Batch, rewind: Rewind, record: BatchRecord, known: StreamRecord) -> StreamRecord:
        """Withdraw what is done from the instant on, record what is left, and return the stream's record set back."""
        withdrawn = self._batches.withdraw(batch.stream, rewind.since, by=batch.id)
        self._batches.leave(batch, rewind, record, known.epoch)
        self._ledger.recorded.hand_over(batch, rewind, withdrawn)
        left = Comparison(partitions=rewind.partitions, hot=rewind.hot, findings=rewind.findings)
        self._comparisons.cut_off(batch.stream, rewind.since, left)
        return replace(known, watermark=rewind.watermark, last_upper=rewind.last_upper, generation=known.generation + 1)
