"""The ledger: watermarks, leases, batches, attempts, comparisons, parked events and the outbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from consumer.domain.batch import Batch, WrittenFile
from consumer.domain.event import Event
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.reconcile import (
    ComparedPartition,
    Finding,
    RecordedWindow,
)
from consumer.domain.schema_history import SchemaHistory
from consumer.domain.window import BEGINNING, Window
from consumer.ports.batches import BatchRecord, Trigger
from consumer.ports.stream_record import StreamRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A lease on a stream at one epoch: the fence of everything that its owner writes.

    ``backfilling`` tells whether a range of history was asked for when the lease was taken, ``continuous`` whether a
    window that is done ended at the watermark then. ``compared`` are the partitions of the source as they were last
    compared with the record then; ``None`` where that has to be read.
    """

    stream: str
    owner: str
    epoch: int
    record: StreamRecord
    backfilling: bool = True
    continuous: bool = True
    compared: Mapping[str, ComparedPartition] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The outcome of comparing the hot tier with the record.

    Attributes:
        partitions: partitions as they were compared.
        gone: ids of partitions that are not there any more.
        hot: what the hot tier holds of windows whose rows are not the cold tier's, by lower bound.
        findings: what an operator has to know.
        equal: windows whose rows are the cold tier's again: what was found in them before is forgotten.
    """

    partitions: Sequence[ComparedPartition] = ()
    gone: Sequence[str] = ()
    hot: Mapping[datetime, Fingerprint] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    equal: Sequence[Window] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxMessage:
    """An event that is published with a batch and relayed to Kafka afterwards."""

    number: int
    event: Event


class Ledger(Protocol):
    """Watermarks, leases, batches, attempts, parked events and the outbox: Postgres."""

    def register(self, stream: str, start: datetime = BEGINNING) -> StreamRecord:
        """Create the stream's row unless it exists, and return it.

        ``start`` is where its windows begin; it counts until somebody has claimed the stream, and never again.
        """
        ...

    def read(self, streams: Sequence[str]) -> Mapping[str, StreamRecord]:
        """Return the records of the streams that have one."""
        ...

    def final_until(self, streams: Sequence[str]) -> Mapping[str, datetime]:
        """Return for each stream that has a record the instant up to which what is derived from it may go.

        That is its watermark; or where a rewind will set it back, whose commit to a catalog outside of the ledger may
        have landed already.
        """
        ...

    def claim(self, stream: str, owner: str, ttl: timedelta) -> Claim:
        """Take the stream's lease and increment its epoch.

        A lease that ``owner`` holds already is taken again with a new epoch.

        Raises:
            LeaseHeldError: if another owner's lease has not expired, or the row is locked.
        """
        ...

    def renew(self, claim: Claim, ttl: timedelta) -> None:
        """Extend a lease.

        Raises:
            FencedError: if the epoch has moved on.
        """
        ...

    def release(self, claim: Claim) -> None:
        """Give a lease back; does nothing if the epoch has moved on."""
        ...

    def bind(self, claim: Claim, *, source_uuid: UUID, target_uuid: UUID, schemas: SchemaHistory | None = None) -> None:
        """Record which tables the stream is between, and what the source's columns were through time; under the fence.

        Called at the first claim that sees the tables, and whenever the columns have changed. Without ``schemas`` those
        that are recorded stay.
        """
        ...

    def begin(self, claim: Claim, batch: Batch, trigger: Trigger, prefix: str | None = None) -> None:
        """Record that a batch is being written, and below which path, and count the attempt; under the fence."""
        ...

    def stage(self, claim: Claim, batch_id: UUID, prefix: str, files: Sequence[WrittenFile]) -> None:
        """Record the attempt prefix, and the files that are below it; under the fence."""
        ...

    def advance(self, claim: Claim, batch: Batch, trigger: Trigger, outbox: Sequence[Event]) -> None:
        """Advance the watermark over an empty window, if it still equals the window's lower; under the fence.

        ``outbox`` wakes the dependants: an upstream that moved on without rows lets them move on too.

        Raises:
            FencedError: if the epoch has moved on.
            DivergenceError: if the watermark is not the window's lower.
            UnknownCommitError: if nobody knows whether the commit landed.
        """
        ...

    def fail(self, claim: Claim, batch_id: UUID, error: str) -> None:
        """Record that an attempt failed for certain."""
        ...

    def resolve(self, stream: str, batch_id: UUID) -> BatchRecord | None:
        """Read a batch after locking the stream's row, so that a transaction still open is waited out."""
        ...

    def batches(self, stream: str, limit: int) -> Sequence[BatchRecord]:
        """Return the stream's latest batches, newest first."""
        ...

    def halt(self, stream: str, *, reason: str, remedy: str, epoch: int | None) -> bool:
        """Halt a stream; with ``epoch`` only if it is still the stream's. Tell whether the stream is halted now."""
        ...

    def pause(self, stream: str, *, reason: str, remedy: str) -> bool:
        """Halt an active stream and end its lease, so that nobody publishes anything of it any more.

        Return whether it was active; one that is halted stays as it is.

        Raises:
            DivergenceError: if the ledger has no row for the stream.
        """
        ...

    def resume(self, stream: str) -> None:
        """Make a halted stream active again and move its parked events to the outbox."""
        ...

    def park(self, event: Event) -> None:
        """Keep an event of a halted stream; the same event twice is kept once."""
        ...

    def parked(self, stream: str) -> Sequence[Event]:
        """Return the events kept for a halted stream, oldest first."""
        ...

    def partitions(self, stream: str) -> Mapping[str, ComparedPartition]:
        """Return the partitions of the source as they were last compared with the record, by id."""
        ...

    def windows(self, stream: str, within: Window) -> Sequence[RecordedWindow]:
        """Return the windows that are done and overlap ``within``, ascending, with what is recorded of each."""
        ...

    def lateness(self, stream: str) -> Sequence[int]:
        """Return how many rows of all supplements were how late, by the steps of ``LATENESS_STEPS``."""
        ...

    def findings(self, stream: str) -> Sequence[Finding]:
        """Return what was found in the hot tier, by window; what an operator has accepted, too."""
        ...

    def record_comparison(self, claim: Claim, comparison: Comparison) -> None:
        """Record the outcome of a comparison; under the fence.

        Raises:
            FencedError: if the epoch has moved on.
        """
        ...

    def accept(self, stream: str) -> int:
        """Accept every finding of a stream, and forget partitions that are gone; return how many there were."""
        ...

    def outbox(self, limit: int) -> Sequence[OutboxMessage]:
        """Return events that are not relayed yet, oldest first."""
        ...

    def relayed(self, numbers: Sequence[int]) -> None:
        """Remove outbox messages that Kafka has acknowledged."""
        ...
