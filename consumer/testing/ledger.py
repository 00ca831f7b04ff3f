"""The port ``Ledger`` in memory, with the rules of the real one and a clock that a test can set."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from consumer.domain.batch import Batch, BatchKind, BatchStatus, WrittenFile
from consumer.domain.errors import DivergenceError, LeaseHeldError
from consumer.domain.event import Event
from consumer.domain.fence import Position, check_binding, check_fence, check_window, missing_row
from consumer.ports import (
    BatchRecord,
    Claim,
    OutboxMessage,
    Publication,
    StreamRecord,
    StreamState,
    Trigger,
)

_DONE = (BatchStatus.PUBLISHED, BatchStatus.EMPTY)
_RELAY_CLAIM = timedelta(seconds=10)


def _system_clock() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class _StoredBatch:
    record: BatchRecord
    kind: BatchKind
    epoch: int


@dataclass(slots=True)
class _StoredMessage:
    event: Event
    claimed_until: datetime = field(default=datetime.min.replace(tzinfo=UTC))


class MemoryLedger:
    """What :class:`~consumer.adapters.postgres.ledger.PostgresLedger` is, without durability.

    ``now`` stands for the server's clock, which judges leases. :meth:`publish` is the ledger's part of the publish
    transaction, for an in-memory catalog.
    """

    def __init__(self, *, now: Callable[[], datetime] = _system_clock, relay_claim: timedelta = _RELAY_CLAIM) -> None:
        self._now = now
        self._relay_claim = relay_claim
        self._lock = threading.RLock()
        self._streams: dict[str, StreamRecord] = {}
        self._batches: dict[UUID, _StoredBatch] = {}
        self._files: dict[str, tuple[UUID, str, WrittenFile]] = {}
        self._prefixes: dict[str, UUID] = {}
        self._parked: dict[tuple[str, str], Event] = {}
        self._outbox: dict[int, _StoredMessage] = {}
        self._sent = 0

    def register(self, stream: str) -> StreamRecord:
        """Create the stream's record unless it exists, and return it."""
        with self._lock:
            return self._streams.setdefault(stream, StreamRecord.unseen(stream, self._now()))

    def read(self, streams: Sequence[str]) -> Mapping[str, StreamRecord]:
        """Return the records of the streams that have one."""
        with self._lock:
            return {stream: self._streams[stream] for stream in streams if stream in self._streams}

    def claim(self, stream: str, owner: str, ttl: timedelta) -> Claim:
        """Take the stream's lease and increment its epoch."""
        with self._lock:
            known = self._known(stream)
            free = known.lease_expires is None or known.lease_expires <= self._now()
            if not free and known.owner != owner:
                raise LeaseHeldError(
                    f"stream {stream}: the lease is not free: {known.owner} holds it until {known.lease_expires}",
                    remedy="nothing has to be done: the event is held until the lease is free or the work is done",
                )
            record = self._put(replace(known, owner=owner, lease_expires=self._now() + ttl, epoch=known.epoch + 1))
            return Claim(stream=stream, owner=owner, epoch=record.epoch, record=record)

    def renew(self, claim: Claim, ttl: timedelta) -> None:
        """Extend a lease."""
        with self._lock:
            self._put(replace(self._fenced(claim), lease_expires=self._now() + ttl))

    def release(self, claim: Claim) -> None:
        """Give a lease back; does nothing if the epoch has moved on."""
        with self._lock:
            known = self._streams.get(claim.stream)
            if known is not None and (known.epoch, known.owner) == (claim.epoch, claim.owner):
                self._put(replace(known, owner=None, lease_expires=None))

    def bind(self, claim: Claim, *, source_uuid: UUID, target_uuid: UUID) -> None:
        """Record which tables the stream is between; under the fence."""
        with self._lock:
            known = self._fenced(claim)
            check_binding(
                stream=claim.stream,
                source_uuid=source_uuid,
                target_uuid=target_uuid,
                current_source=known.source_uuid,
                current_target=known.target_uuid,
            )
            self._put(replace(known, source_uuid=source_uuid, target_uuid=target_uuid))

    def begin(self, claim: Claim, batch: Batch, trigger: Trigger) -> None:
        """Record that a batch is being written, and count the attempt; under the fence."""
        with self._lock:
            known = self._fenced(claim)
            stored = self._batches.get(batch.id)
            if stored is not None and stored.record.status in _DONE:
                self._check_continues(known, batch)
            attempts = 1 if stored is None else stored.record.attempts + 1
            fresh = self._record(batch, trigger, status=BatchStatus.WRITING)
            self._store(claim, batch, replace(fresh, attempts=attempts, ended=None))

    def stage(self, claim: Claim, batch_id: UUID, prefix: str, files: Sequence[WrittenFile]) -> None:
        """Record the attempt prefix before it is written to, and its files once they are."""
        with self._lock:
            self._fenced(claim)
            if batch_id not in self._batches:
                raise DivergenceError(
                    f"stream {claim.stream}: batch {batch_id} was never begun", remedy="begin it before staging"
                )
            for file in files:
                if self._files.get(file.path, (batch_id, prefix, file)) != (batch_id, prefix, file):
                    raise DivergenceError(
                        f"stream {claim.stream}: {file.path} is recorded already with other content",
                        remedy="no two attempts may write to one path",
                    )
            self._prefixes.setdefault(prefix, batch_id)
            self._files.update({file.path: (batch_id, prefix, file) for file in files})

    def advance(self, claim: Claim, batch: Batch, trigger: Trigger, outbox: Sequence[Event]) -> None:
        """Advance the watermark over an empty window; under the fence."""
        with self._lock:
            known = self._fenced(claim)
            self._check_continues(known, batch)
            self._store(claim, batch, self._empty(batch, trigger))
            self._put(replace(known, watermark=batch.window.upper))
            for event in outbox:
                self._send(event)

    def fail(self, claim: Claim, batch_id: UUID, error: str) -> None:
        """Record that an attempt failed for certain; does nothing where a newer owner attempts the batch."""
        with self._lock:
            stored = self._batches.get(batch_id)
            if stored is None or stored.epoch != claim.epoch or stored.record.status is not BatchStatus.WRITING:
                return
            stored.record = replace(stored.record, status=BatchStatus.FAILED, error=error, ended=self._now())

    def resolve(self, stream: str, batch_id: UUID) -> BatchRecord | None:
        """Read a batch; there is no open transaction to be waited out."""
        with self._lock:
            self._known(stream)
            stored = self._batches.get(batch_id)
            return None if stored is None or stored.record.stream != stream else stored.record

    def batches(self, stream: str, limit: int) -> Sequence[BatchRecord]:
        """Return the stream's latest batches, newest first."""
        with self._lock:
            found = [stored.record for stored in self._batches.values() if stored.record.stream == stream]
            found.sort(key=lambda record: (record.started, record.window.upper), reverse=True)
            return found[:limit]

    def halt(self, stream: str, *, reason: str, remedy: str, epoch: int | None) -> None:
        """Halt a stream; with ``epoch`` only if it is still the stream's."""
        with self._lock:
            known = self._streams.get(stream)
            if epoch is not None and (known is None or known.epoch != epoch):
                return
            self._put(
                replace(
                    known or StreamRecord.unseen(stream, self._now()),
                    state=StreamState.HALTED,
                    halt_reason=reason,
                    halt_remedy=remedy,
                )
            )

    def resume(self, stream: str) -> None:
        """Make a halted stream active again and move its parked events to the outbox."""
        with self._lock:
            known = self._known(stream)
            self._put(replace(known, state=StreamState.ACTIVE, halt_reason=None, halt_remedy=None))
            for key in [key for key in self._parked if key[0] == stream]:
                self._send(self._parked.pop(key))

    def park(self, event: Event) -> None:
        """Keep an event of a halted stream; where it was resumed in the meantime, put it into the outbox."""
        with self._lock:
            if self._known(event.stream).state is StreamState.HALTED:
                self._parked.setdefault((event.stream, event.id), event)
            else:
                self._send(event)

    def parked(self, stream: str) -> Sequence[Event]:
        """Return the events kept for a halted stream, oldest first."""
        with self._lock:
            return [event for (owner, _), event in self._parked.items() if owner == stream]

    def outbox(self, limit: int) -> Sequence[OutboxMessage]:
        """Return events that are not relayed yet, oldest first, and keep them from other relays for a while."""
        with self._lock:
            now = self._now()
            free = [number for number, message in self._outbox.items() if message.claimed_until <= now]
            chosen = sorted(free)[:limit]
            for number in chosen:
                self._outbox[number].claimed_until = now + self._relay_claim
            return [OutboxMessage(number=number, event=self._outbox[number].event) for number in chosen]

    def relayed(self, numbers: Sequence[int]) -> None:
        """Remove outbox messages that Kafka has acknowledged."""
        with self._lock:
            for number in numbers:
                self._outbox.pop(number, None)

    def publish(self, publication: Publication, snapshot_id: int, swap: Callable[[StreamRecord], None]) -> None:
        """Do the ledger's part of a publish: fence, ``swap`` the table's metadata, record; all of it or nothing.

        ``swap`` is given the locked record; what it raises leaves the ledger as it was.

        Raises:
            FencedError, DivergenceError, UnknownCommitError: as the real ledger's ``fence`` does.
        """
        batch, claim = publication.batch, publication.claim
        with self._lock:
            known = self._fenced(claim)
            self._check_continues(known, batch)
            swap(known)
            record = replace(
                self._record(batch, publication.trigger, status=BatchStatus.PUBLISHED),
                rows=publication.fingerprint.rows,
                bytes=sum(file.bytes for file in publication.files),
                digest=publication.fingerprint.hex,
                snapshot_id=snapshot_id,
            )
            self._store(claim, batch, record)
            self._put(replace(known, watermark=batch.window.upper, last_upper=batch.window.upper))
            for event in publication.outbox:
                self._send(event)

    def _known(self, stream: str) -> StreamRecord:
        record = self._streams.get(stream)
        if record is None:
            raise missing_row(stream)
        return record

    def _fenced(self, claim: Claim) -> StreamRecord:
        known = self._known(claim.stream)
        check_fence(
            stream=claim.stream,
            epoch=claim.epoch,
            owner=claim.owner,
            current_epoch=known.epoch,
            current_owner=known.owner,
        )
        return known

    def _check_continues(self, known: StreamRecord, batch: Batch) -> None:
        stored = self._batches.get(batch.id)
        check_window(
            batch,
            Position(
                watermark=known.watermark,
                generation=known.generation,
                status=None if stored is None else stored.record.status,
                overlapped=any(self._overlaps(other, batch) for other in self._batches.values()),
            ),
        )

    @staticmethod
    def _overlaps(other: _StoredBatch, batch: Batch) -> bool:
        record = other.record
        return (
            (record.stream, record.generation) == (batch.stream, batch.generation)
            and other.kind is BatchKind.WINDOW
            and record.status in _DONE
            and record.window.upper > batch.window.lower
            and record.window.lower < batch.window.upper
        )

    def _record(self, batch: Batch, trigger: Trigger, *, status: BatchStatus) -> BatchRecord:
        stored = self._batches.get(batch.id)
        now = self._now()
        again = stored is not None and status is not BatchStatus.WRITING
        return BatchRecord(
            batch_id=batch.id,
            stream=batch.stream,
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

    def _empty(self, batch: Batch, trigger: Trigger) -> BatchRecord:
        record = self._record(batch, trigger, status=BatchStatus.EMPTY)
        if batch.id in self._batches:
            return record
        for stored in self._batches.values():
            before = stored.record
            if (before.stream, before.generation, before.status) == (
                batch.stream,
                batch.generation,
                BatchStatus.EMPTY,
            ) and before.window.upper == batch.window.lower:
                del self._batches[before.batch_id]
                window = replace(batch.window, lower=before.window.lower)
                return replace(record, window=window, started=before.started, attempts=before.attempts)
        return record

    def _store(self, claim: Claim, batch: Batch, record: BatchRecord) -> None:
        self._batches[batch.id] = _StoredBatch(record=record, kind=batch.kind, epoch=claim.epoch)

    def _put(self, record: StreamRecord) -> StreamRecord:
        record = replace(record, updated=self._now())
        self._streams[record.stream] = record
        return record

    def _send(self, event: Event) -> None:
        self._sent += 1
        self._outbox[self._sent] = _StoredMessage(event=event)
