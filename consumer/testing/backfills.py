"""The port ``Backfills`` in memory, beside a ledger in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from consumer.domain.backfill import (
    BackfillPlace,
    BackfillRequest,
    BackfillState,
    check_backfill,
    check_no_overlap,
    request_changed,
)
from consumer.domain.batch import Batch, BatchStatus
from consumer.domain.event import Event
from consumer.domain.window import Window
from consumer.ports import Claim, StreamRecord, Trigger
from consumer.testing.batches import MemoryBatches
from consumer.testing.outbox import MemoryOutbox

if TYPE_CHECKING:
    from consumer.testing.ledger import MemoryLedger


class MemoryBackfills:
    """What ``offload_backfills`` holds, with the rules of the real one."""

    def __init__(
        self, ledger: MemoryLedger, batches: MemoryBatches, outbox: MemoryOutbox, now: Callable[[], datetime]
    ) -> None:
        self._ledger = ledger
        self._batches = batches
        self._outbox = outbox
        self._now = now
        self._requests: dict[UUID, BackfillRequest] = {}

    def request(self, request: BackfillRequest, hint: Event) -> None:
        """Record a request, and put the hint for its stream into the outbox; the same request twice is kept once."""
        with self._ledger.row(request.stream):
            self._ledger.known(request.stream)
            check_no_overlap(request, [one for one in self._open(request.stream) if one.id != request.id])
            if request.id not in self._requests:
                self._requests[request.id] = replace(request, requested=self._now())
                self._outbox.send([hint])

    def cancel(self, stream: str, request: UUID | None) -> Sequence[BackfillRequest]:
        """Cancel an open request, or all of a stream's, and return them."""
        with self._ledger.row(stream):
            self._ledger.known(stream)
            chosen = [one for one in self._open(stream) if request in {None, one.id}]
            return [self._put(replace(one, state=BackfillState.CANCELLED, ended=self._now())) for one in chosen]

    def reopen(self, stream: str, window: Window) -> None:
        """Open requests again whose rows of a window have gone from the table; those that were cancelled stay so."""
        for one in list(self._requests.values()):
            touched = one.window.lower < window.upper and window.lower < one.window.upper
            if one.stream == stream and touched and one.state is not BackfillState.CANCELLED:
                position = min(one.position, max(one.window.lower, window.lower))
                self._put(replace(one, state=BackfillState.OPEN, ended=None, position=position))

    def open(self, stream: str) -> Sequence[BackfillRequest]:
        """Return the stream's open requests, oldest first."""
        with self._ledger.database.mutex:
            return self._open(stream)

    def all(self, streams: Sequence[str]) -> Sequence[BackfillRequest]:
        """Return every request of these streams, newest first."""
        with self._ledger.database.mutex:
            return [one for one in reversed(self._requests.values()) if one.stream in streams]

    def skip(self, claim: Claim, request: UUID, position: datetime) -> None:
        """Move an open request on over what was done before it; under the fence."""
        with self._ledger.row(claim.stream):
            self._ledger.fenced(claim)
            known = self._requests.get(request)
            if known is None or known.state is not BackfillState.OPEN or known.position >= position:
                raise request_changed(claim.stream, request)
            self._put(self._moved(known, position))

    def pass_over(self, claim: Claim, batch: Batch, trigger: Trigger, outbox: Sequence[Event]) -> None:
        """Record a backfill's window without rows as done, and move its request on; under the fence."""
        with self._ledger.row(claim.stream):
            known = self._ledger.fenced(claim)
            self.check(batch, known)
            self._batches.put(batch, self._batches.record(batch, trigger, status=BatchStatus.EMPTY), claim.epoch)
            self.move(batch, rows=0, size=0)
            self._ledger.put(replace(known, last_backfill_id=batch.id))
            self._outbox.send(outbox)

    def check(self, batch: Batch, known: StreamRecord) -> None:
        """Check the predicate of a backfill batch against the locked record."""
        request = self._requests.get(batch.request) if batch.request is not None else None
        check_backfill(
            batch,
            BackfillPlace(
                status=self._batches.status(batch.id),
                overlapped=self._batches.overlaps(batch),
                position=None if request is None or request.state is not BackfillState.OPEN else request.position,
                start=known.start,
                generation=known.generation,
            ),
        )

    def move(self, batch: Batch, *, rows: int, size: int) -> None:
        """Move the request of a batch that is done to the end of its window, and add up what was done."""
        known = self._requests[batch.request] if batch.request is not None else None
        if known is not None:
            moved = self._moved(known, batch.window.upper)
            self._put(replace(moved, windows=moved.windows + 1, rows=moved.rows + rows, bytes=moved.bytes + size))

    def _moved(self, known: BackfillRequest, position: datetime) -> BackfillRequest:
        if position < known.window.upper:
            return replace(known, position=position)
        return replace(known, position=position, state=BackfillState.DONE, ended=self._now())

    def _open(self, stream: str) -> list[BackfillRequest]:
        return [one for one in self._requests.values() if one.stream == stream and one.state is BackfillState.OPEN]

    def _put(self, request: BackfillRequest) -> BackfillRequest:
        self._requests[request.id] = request
        return request
