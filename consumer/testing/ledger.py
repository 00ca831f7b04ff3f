"""The port ``Ledger`` in memory, with the rules of the real one and a clock that a test can set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from consumer.domain.adoption import check_adoption
from consumer.domain.batch import Batch, BatchKind, BatchStatus, WrittenFile
from consumer.domain.compaction import check_rewrite
from consumer.domain.errors import DivergenceError, LedgerUnavailableError
from consumer.domain.event import Event
from consumer.domain.fence import (
    Position,
    check_binding,
    check_chain,
    check_content,
    check_fence,
    check_window,
    missing_row,
)
from consumer.domain.reconcile import ComparedPartition, Finding, RecordedWindow, content_of, recorded_windows
from consumer.domain.schema_history import SchemaHistory
from consumer.domain.window import BEGINNING, Window
from consumer.ports import (
    BatchRecord,
    Claim,
    Comparison,
    OutboxMessage,
    Publication,
    StreamRecord,
    StreamState,
    Trigger,
)
from consumer.testing.attempts import MemoryAttempts
from consumer.testing.backfills import MemoryBackfills
from consumer.testing.batches import DONE, MemoryBatches
from consumer.testing.comparisons import MemoryComparisons
from consumer.testing.database import MemoryDatabase
from consumer.testing.leases import held
from consumer.testing.maintenance import MemoryMaintenance
from consumer.testing.outbox import MemoryOutbox
from consumer.testing.repairs import MemoryRepairs
from consumer.testing.rewinds import MemoryRewinds

_RELAY_CLAIM = timedelta(seconds=10)
_PATIENCE = timedelta(seconds=22.5)
"""How long a read-back waits for a transaction under way: three quarters of a lease of 30 s."""


def _system_clock() -> datetime:
    return datetime.now(UTC)


class MemoryLedger:
    """What :class:`~consumer.adapters.postgres.ledger.PostgresLedger` is, without durability.

    ``now`` stands for the server's clock, which judges leases. :meth:`publish` is the ledger's part of the publish
    transaction, for an in-memory catalog; while it is open, it holds the stream's row in ``database``.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = _system_clock,
        relay_claim: timedelta = _RELAY_CLAIM,
        database: MemoryDatabase | None = None,
    ) -> None:
        self._now = now
        self.database = database or MemoryDatabase()
        self._streams: dict[str, StreamRecord] = {}
        self._batches = MemoryBatches(now)
        self.recorded = MemoryAttempts(self._batches)
        self._parked: dict[tuple[str, str], Event] = {}
        self._outbox = MemoryOutbox(now, relay_claim)
        self._comparisons = MemoryComparisons()
        self.backfills = MemoryBackfills(self, self._batches, self._outbox, now)
        self.repairs = MemoryRepairs(self, self._batches, self._comparisons, self._outbox, now)
        self.rewinds = MemoryRewinds(self, self._batches, self._comparisons)
        self.maintenance = MemoryMaintenance(self, self._batches, now)

    def register(self, stream: str, start: datetime = BEGINNING) -> StreamRecord:
        """Create the stream's record unless it exists, and return it; ``start`` counts until it is first claimed."""
        with self.database.mutex:
            known = self._streams.setdefault(stream, StreamRecord.unseen(stream, self._now(), start))
            if known.epoch or known.start == start:
                return known
        with self.row(stream):
            return self.put(replace(self.known(stream), watermark=start, start=start))

    def read(self, streams: Sequence[str]) -> Mapping[str, StreamRecord]:
        """Return the records of the streams that have one."""
        with self.database.mutex:
            return {stream: self._streams[stream] for stream in streams if stream in self._streams}

    def final_until(self, streams: Sequence[str]) -> Mapping[str, datetime]:
        """Return up to where what is derived from the streams may go: the watermark, or the end of an open rewind."""
        with self.database.mutex:
            return {
                name: min([record.watermark, *self.rewinds.open(name)]) for name, record in self.read(streams).items()
            }

    def claim(self, stream: str, owner: str, ttl: timedelta) -> Claim:
        """Take the stream's lease and increment its epoch."""
        with self.database.mutex:
            try:
                self.database.wait_for(stream)
            except LedgerUnavailableError as error:
                raise held(stream, "its row is locked by a transaction under way") from error
            known = self.known(stream)
            free = known.lease_expires is None or known.lease_expires <= self._now()
            if not free and known.owner != owner:
                raise held(stream, f"{known.owner} holds it until {known.lease_expires}")
            record = self.put(replace(known, owner=owner, lease_expires=self._now() + ttl, epoch=known.epoch + 1))
            asked = bool(self.backfills.open(stream))
            continuous = record.unread or self._batches.ends_at(stream, record.watermark)
            return Claim(
                stream=stream,
                owner=owner,
                epoch=record.epoch,
                record=record,
                backfilling=asked,
                continuous=continuous,
            )

    def renew(self, claim: Claim, ttl: timedelta) -> None:
        """Extend a lease."""
        with self.row(claim.stream):
            self.put(replace(self.fenced(claim), lease_expires=self._now() + ttl))

    def release(self, claim: Claim) -> None:
        """Give a lease back; does nothing if the epoch has moved on."""
        with self.row(claim.stream):
            known = self._streams.get(claim.stream)
            if known is not None and (known.epoch, known.owner) == (claim.epoch, claim.owner):
                self.put(replace(known, owner=None, lease_expires=None))

    def bind(self, claim: Claim, *, source_uuid: UUID, target_uuid: UUID, schemas: SchemaHistory | None = None) -> None:
        """Record which tables the stream is between, and what its source's columns were; under the fence."""
        with self.row(claim.stream):
            known = self.fenced(claim)
            check_binding(
                stream=claim.stream,
                source_uuid=source_uuid,
                target_uuid=target_uuid,
                current_source=known.source_uuid,
                current_target=known.target_uuid,
            )
            seen = known.schemas if schemas is None else schemas
            self.put(replace(known, source_uuid=source_uuid, target_uuid=target_uuid, schemas=seen))

    def begin(self, claim: Claim, batch: Batch, trigger: Trigger, prefix: str | None = None) -> None:
        """Record that a batch is being written, and below which path, and count the attempt; under the fence."""
        with self.row(claim.stream):
            known = self.fenced(claim)
            stored = self._batches.get(batch.id)
            if stored is not None and stored.record.status in DONE:
                self._check_continues(known, batch)
            attempts = 1 if stored is None else stored.record.attempts + 1
            fresh = self._batches.record(batch, trigger, status=BatchStatus.WRITING)
            self._batches.put(batch, replace(fresh, attempts=attempts, ended=None), claim.epoch)
            if prefix is not None:
                self.recorded.stage(claim.stream, batch.id, prefix, ())

    def stage(self, claim: Claim, batch_id: UUID, prefix: str, files: Sequence[WrittenFile]) -> None:
        """Record the attempt prefix, and the files that are below it; under the fence."""
        with self.row(claim.stream):
            self.fenced(claim)
            if self._batches.get(batch_id) is None:
                raise DivergenceError(
                    f"stream {claim.stream}: batch {batch_id} was never begun", remedy="begin it before staging"
                )
            self.recorded.stage(claim.stream, batch_id, prefix, files)

    def advance(self, claim: Claim, batch: Batch, trigger: Trigger, outbox: Sequence[Event]) -> None:
        """Advance the watermark over an empty window; under the fence."""
        with self.row(claim.stream):
            known = self.fenced(claim)
            self._check_continues(known, batch)
            self._check_whole(known)
            self._batches.put(batch, self._batches.empty(batch, trigger), claim.epoch)
            self.put(replace(known, watermark=batch.window.upper))
            self._outbox.send(outbox)

    def fail(self, claim: Claim, batch_id: UUID, error: str) -> None:
        """Record that an attempt failed for certain; does nothing where a newer owner attempts the batch."""
        with self.row(claim.stream):
            stored = self._batches.get(batch_id)
            if stored is None or stored.epoch != claim.epoch or stored.record.status is not BatchStatus.WRITING:
                return
            stored.record = replace(stored.record, status=BatchStatus.FAILED, error=error, ended=self._now())

    def resolve(self, stream: str, batch_id: UUID) -> BatchRecord | None:
        """Read a batch; there is no open transaction to be waited out."""
        with self.row(stream, patience=_PATIENCE):
            self.known(stream)
            stored = self._batches.get(batch_id)
            return None if stored is None or stored.record.stream != stream else stored.record

    def batches(self, stream: str, limit: int) -> Sequence[BatchRecord]:
        """Return the stream's latest batches, newest first."""
        with self.database.mutex:
            return self._batches.latest(stream, limit)

    def halt(self, stream: str, *, reason: str, remedy: str, epoch: int | None) -> bool:
        """Halt a stream; with ``epoch`` only if it is still the stream's. Tell whether the stream is halted now."""
        with self.row(stream):
            known = self._streams.get(stream)
            if epoch is not None and (known is None or known.epoch != epoch):
                return False
            self.put(
                replace(
                    known or StreamRecord.unseen(stream, self._now()),
                    state=StreamState.HALTED,
                    halt_reason=reason,
                    halt_remedy=remedy,
                )
            )
            return True

    def pause(self, stream: str, *, reason: str, remedy: str) -> bool:
        """Halt an active stream and end its lease; return whether it was active."""
        with self.row(stream, patience=_PATIENCE):
            known = self.known(stream)
            if known.state is StreamState.HALTED:
                return (known.halt_reason, known.halt_remedy) == (reason, remedy)
            halted = replace(known, state=StreamState.HALTED, halt_reason=reason, halt_remedy=remedy)
            self.put(replace(halted, epoch=known.epoch + 1, owner=None, lease_expires=None))
            return True

    def resume(self, stream: str) -> None:
        """Make a halted stream active again and move its parked events to the outbox."""
        with self.row(stream):
            self.activate(self.known(stream))

    def park(self, event: Event) -> None:
        """Keep an event of a halted stream; where it was resumed in the meantime, put it into the outbox."""
        with self.row(event.stream):
            if self.known(event.stream).state is StreamState.HALTED:
                self._parked.setdefault((event.stream, event.id), event)
            else:
                self._outbox.send([event])

    def parked(self, stream: str) -> Sequence[Event]:
        """Return the events kept for a halted stream, oldest first."""
        with self.database.mutex:
            return [event for (owner, _), event in self._parked.items() if owner == stream]

    def partitions(self, stream: str) -> Mapping[str, ComparedPartition]:
        """Return the partitions of the source as they were last compared with the record."""
        with self.database.mutex:
            return self._comparisons.partitions(stream)

    def windows(self, stream: str, within: Window) -> Sequence[RecordedWindow]:
        """Return the windows that are done and overlap ``within``, ascending."""
        with self.database.mutex:
            return recorded_windows(self._batches.done(stream, within), self._comparisons.hot(stream))

    def lateness(self, stream: str) -> Sequence[int]:
        """Return how many rows of all supplements were how late."""
        with self.database.mutex:
            return self._batches.lateness(stream)

    def findings(self, stream: str) -> Sequence[Finding]:
        """Return what was found in the hot tier."""
        with self.database.mutex:
            return self._comparisons.findings(stream)

    def record_comparison(self, claim: Claim, comparison: Comparison) -> None:
        """Record the outcome of a comparison; under the fence."""
        with self.row(claim.stream):
            self.fenced(claim)
            self._comparisons.record(claim.stream, comparison)

    def accept(self, stream: str) -> int:
        """Accept every finding of a stream; return how many there were."""
        with self.row(stream):
            self.known(stream)
            return self._comparisons.accept(stream)

    def outbox(self, limit: int) -> Sequence[OutboxMessage]:
        """Return events that are not relayed yet, oldest first, and keep them from other relays for a while."""
        with self.database.mutex:
            return self._outbox.take(limit)

    def relayed(self, numbers: Sequence[int]) -> None:
        """Remove outbox messages that Kafka has acknowledged."""
        with self.database.mutex:
            self._outbox.remove(numbers)

    def publish(
        self,
        publication: Publication,
        snapshot_id: int,
        swap: Callable[[StreamRecord], Callable[[], None]],
        *,
        before_commit: Callable[[], None] = lambda: None,
    ) -> None:
        """Do the ledger's part of a publish: fence, ``swap`` the table's metadata, record; all of it or nothing.

        ``swap`` is given the locked record, and returns what its part of the commit does; what it raises, or
        ``before_commit`` does, leaves the ledger as it was. The target's row is held as well as the stream's, and those
        of the dependants of one that is rewound.

        Raises:
            FencedError, DivergenceError, UnknownCommitError, LedgerUnavailableError: as the real publish does.
        """
        batch = publication.batch
        held = () if batch.rewind is None else tuple(batch.rewind.held)
        with self.database.transaction(batch.stream, str(publication.stream.target), *held) as transaction:
            with self.database.mutex:
                swapped = swap(self.check(publication))

            def effect() -> None:
                swapped()
                self.landed(publication, snapshot_id)

            transaction.effect = effect
            before_commit()

    def check(self, publication: Publication) -> StreamRecord:
        """Check the fence and the predicate of the batch's kind; called with the stream's row held.

        Raises:
            FencedError, DivergenceError, UnknownCommitError, StaleDifferenceError, BackfillChangedError
        """
        batch, known = publication.batch, self.fenced(publication.claim)
        if publication.adoption is not None:
            status = self._batches.status(batch.id)
            check_adoption(batch, publication.adoption, status, known.start, unread=known.unread)
        elif batch.kind is BatchKind.BACKFILL:
            self.backfills.check(batch, known)
        elif batch.kind is BatchKind.MAINTENANCE:
            check_rewrite(batch, self._batches.status(batch.id), known.generation)
        elif batch.rewind is not None:
            self.rewinds.check(batch, batch.rewind, known, publication.claim.owner)
        elif batch.kind is BatchKind.WINDOW:
            self._check_continues(known, batch)
        else:
            done = self._batches.done(batch.stream, batch.window)
            recorded = content_of(done, batch.window)
            check_content(batch, self._batches.status(batch.id), recorded, known.generation)
        self._check_whole(known)
        return known

    def mark(self, batch: Batch, status: BatchStatus, epoch: int | None) -> None:
        """Note that a batch is about to be committed elsewhere, or that this has not landed."""
        stored = self._batches.get(batch.id)
        if stored is not None and stored.record.status not in DONE:
            failed = status is BatchStatus.FAILED
            error, ended = ("its commit has not landed", self._now()) if failed else (None, None)
            stored.record = replace(stored.record, status=status, error=error, ended=ended)
            stored.epoch = stored.epoch if epoch is None else epoch

    def landed(self, publication: Publication, snapshot_id: int) -> None:
        """Record a publish at the moment when its transaction commits."""
        batch, claim = publication.batch, publication.claim
        record = replace(
            self._batches.record(batch, publication.trigger, status=BatchStatus.PUBLISHED),
            rows=publication.fingerprint.rows,
            bytes=sum(file.bytes for file in publication.files),
            digest=publication.fingerprint.hex,
            snapshot_id=snapshot_id,
            proof=publication.proof,
        )
        self._batches.put(batch, record, claim.epoch)
        known = self.known(batch.stream)
        if publication.adoption is not None:
            self._batches.adopt(publication.adoption, batch, record, claim.epoch)
            known = replace(known, adopted=batch.window.upper)
        if batch.kind is BatchKind.WINDOW:
            known = replace(known, watermark=batch.window.upper, last_upper=batch.window.upper)
        elif batch.kind is BatchKind.BACKFILL:
            self.backfills.move(batch, rows=record.rows, size=record.bytes)
            known = replace(known, last_backfill_id=batch.id)
        elif batch.kind is BatchKind.REPLACE:
            self._comparisons.forget(batch.stream, batch.window)
        elif batch.rewind is not None:
            known = self.rewinds.apply(batch, batch.rewind, record, known)
        self.put(known if batch.kind is BatchKind.MAINTENANCE else replace(known, last_batch_id=batch.id))
        self._outbox.send(publication.outbox)

    @contextmanager
    def row(self, *streams: str, patience: timedelta | None = None) -> Iterator[None]:
        """Hold the rows of streams for one short transaction."""
        with self.database.mutex:
            self.database.wait_for(*streams, patience=patience)
            yield

    def activate(self, record: StreamRecord) -> None:
        """Make a stream active, and send its parked events to the outbox."""
        self.put(replace(record, state=StreamState.ACTIVE, halt_reason=None, halt_remedy=None))
        self._outbox.send([self._parked.pop(key) for key in list(self._parked) if key[0] == record.stream])

    def known(self, stream: str) -> StreamRecord:
        """Return the record of a stream; raises where there is none."""
        record = self._streams.get(stream)
        if record is None:
            raise missing_row(stream)
        return record

    def fenced(self, claim: Claim) -> StreamRecord:
        """Return the record of a stream whose lease is still the claim's; raises where it is not."""
        known = self.known(claim.stream)
        check_fence(
            stream=claim.stream,
            epoch=claim.epoch,
            owner=claim.owner,
            current_epoch=known.epoch,
            current_owner=known.owner,
        )
        return known

    def _check_continues(self, known: StreamRecord, batch: Batch) -> None:
        check_window(
            batch,
            Position(
                watermark=known.watermark,
                generation=known.generation,
                status=self._batches.status(batch.id),
                overlapped=self._batches.overlaps(batch),
            ),
        )

    def _check_whole(self, known: StreamRecord) -> None:
        covered = self._batches.covered(known.stream)
        check_chain(known.stream, start=known.start, watermark=known.watermark, covered=covered)

    def put(self, record: StreamRecord) -> StreamRecord:
        """Store a record, and return it as it is stored."""
        record = replace(record, updated=self._now())
        self._streams[record.stream] = record
        return record
