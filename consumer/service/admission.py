"""Admission of an event: its stream's row, its lease, and what becomes of it where there is nothing to do now."""

from __future__ import annotations

from datetime import timedelta

from consumer.domain.errors import DivergenceError, LeaseHeldError
from consumer.domain.event import Event
from consumer.domain.stream import Stream
from consumer.failpoints.acting import Failpoints
from consumer.ports import Claim, Ledger, Metrics, StreamRecord, StreamState
from consumer.service.backfill.backfiller import is_hint
from consumer.service.steps import step


class Admission:
    """Takes leases on behalf of events, and parks those of halted streams; for all threads.

    That a stream has its row in the ledger, and was active, is remembered, so that a claim is all it takes to begin:
    it tells if that has changed.
    """

    def __init__(
        self, *, ledger: Ledger, metrics: Metrics, owner: str, lease: timedelta, failpoints: Failpoints
    ) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._owner = owner
        self._lease = lease
        self._failpoints = failpoints
        self._active: set[str] = set()

    def admit(self, stream: Stream, event: Event) -> Claim | None:
        """Return the lease on an active stream; ``None`` if the event is parked, or covered by another owner's work.

        Raises:
            LeaseHeldError: if another owner works on the stream; the event has to be held.
            DivergenceError: if the stream's row is taken away at this moment.
            TransientError: if the ledger could not be reached.
        """
        if stream.name not in self._active and self.register(stream).state is StreamState.HALTED:
            self.park(event)
            return None
        try:
            claim = self.claim(stream)
        except LeaseHeldError:
            if not self._settled(stream, event):
                raise
            return None
        except DivergenceError:
            if stream.name not in self._active:
                raise
            # Somebody has taken the row away since it was seen last.
            self._active.discard(stream.name)
            return self.admit(stream, event)
        if claim.record.state is StreamState.HALTED:
            self._active.discard(stream.name)
            self.release(claim)
            self.park(event)
            return None
        self._active.add(stream.name)
        return claim

    def register(self, stream: Stream) -> StreamRecord:
        """Return the stream's record, which is made if there is none."""
        with self._failpoints.around("stream.register"):
            return self._ledger.register(stream.name, stream.begins)

    def claim(self, stream: Stream) -> Claim:
        """Take the lease.

        Raises:
            LeaseHeldError: if another owner works on the stream.
        """
        with step(self._metrics, stream.name, "claim"), self._failpoints.around("lease.claim"):
            claim = self._ledger.claim(stream.name, self._owner, self._lease)
        self._metrics.lease(stream.name)
        self._metrics.state(stream.name, halted=claim.record.state is StreamState.HALTED)
        return claim

    def release(self, claim: Claim) -> None:
        """Give a lease back."""
        with self._failpoints.around("lease.release"):
            self._ledger.release(claim)

    def park(self, event: Event) -> None:
        """Keep an event of a halted stream in the ledger, after which it counts as done."""
        with self._failpoints.around("event.park"):
            self._ledger.park(event)
        self._metrics.event_handled(event.stream, event.type, "parked")

    def _settled(self, stream: Stream, event: Event) -> bool:
        """Settle an event whose stream another owner works on, if that can be done; else it has to be held."""
        record = self.register(stream)
        if record.state is StreamState.HALTED:
            self.park(event)
            return True
        # Nobody but the stream's next owner goes on with a backfill.
        if record.watermark < event.cutoff or is_hint(event):
            return False
        self._metrics.event_handled(stream.name, event.type, "covered")
        return True
