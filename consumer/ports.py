"""The ports: what the service needs from the world, as protocols.

Every method may raise the errors of :mod:`consumer.domain.errors` and no others on purpose.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, Self
from uuid import UUID

from pyiceberg.schema import Schema

from consumer.domain.batch import Batch, BatchKind, BatchStatus, Evidence, Progress, WrittenFile
from consumer.domain.event import Coordinates, Event
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.inventory import PartitionContent
from consumer.domain.mapping import SourceColumn, TableMapping
from consumer.domain.reconcile import (
    ComparedPartition,
    Difference,
    Finding,
    PartitionSpan,
    RecordedWindow,
)
from consumer.domain.stream import Stream, TableName
from consumer.domain.table_ttl import RowTtl
from consumer.domain.window import BEGINNING, PartitionBy, Window

# --------------------------------------------------------------------------------------- hot tier


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTable:
    """A source table as ClickHouse describes it now.

    ``ttls`` are the rules that take rows away; ``server_zone`` is the server's time zone, in which dates begin.
    """

    name: TableName
    uuid: UUID
    engine: str
    partition_key: str
    sorting_key: str
    columns: tuple[SourceColumn, ...]
    ttls: tuple[RowTtl, ...]
    server_zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Rows of a stretch of the time column: how many, how large, from when to when (both inclusive)."""

    rows: int
    bytes: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Rows of one non-empty stretch of a histogram that starts at ``start`` and lasts one step."""

    start: datetime
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceReport:
    """What the sequence columns say of the source's completeness; a report, not a check.

    Attributes:
        repeated: rows beyond the first one with the same values in all sequence columns.
        gaps: numbers missing between the least and the greatest of the last sequence column, within equal values
            of the columns before it; ``None`` where there is no sequence column or the last one is no integer.
    """

    repeated: int
    gaps: int | None


class Step(StrEnum):
    """Width of a histogram's buckets, coarse to fine; each divides the one before it."""

    YEAR = "year"
    MONTH = "month"
    DAY = "day"
    HOUR = "hour"
    MINUTE = "minute"
    SECOND = "second"
    MILLISECOND = "millisecond"
    MICROSECOND = "microsecond"


class Source(Protocol):
    """The hot tier: ClickHouse."""

    def now(self) -> datetime:
        """Return the server's time in UTC: the only clock that windows follow."""
        ...

    def describe(self, table: TableName) -> SourceTable:
        """Describe a table.

        Raises:
            SourceMissingError: if the database or the table does not exist.
        """
        ...

    def extent(self, stream: Stream, window: Window) -> Extent:
        """Count the rows in a window; ``bytes`` is estimated from the table's uncompressed size."""
        ...

    def histogram(self, stream: Stream, window: Window, step: Step) -> Sequence[Bucket]:
        """Count the rows in a window by steps of the time column (UTC), ascending, empty steps left out."""
        ...

    def sequence_bounds(self, stream: Stream, window: Window, every: int) -> Sequence[tuple[str, ...]]:
        """Return the sequence columns' values at each ``every``-th row of a window, in their order.

        The values are distinct and ascending; the result is empty where they can't split the window.
        """
        ...

    def fingerprint(
        self, stream: Stream, mapping: TableMapping, window: Window, *, partition: str | None = None
    ) -> Fingerprint:
        """Return count and full-row digest of the rows in a window (and a partition), computed by ClickHouse."""
        ...

    def fingerprint_files(self, mapping: TableMapping, paths: Sequence[str]) -> Fingerprint:
        """Return count and full-row digest of data files on the store, computed by ClickHouse."""
        ...

    def sequence_report(self, stream: Stream, window: Window) -> SequenceReport:
        """Report repeated values and gaps of the sequence columns over the rows of a window."""
        ...

    def difference(
        self,
        stream: Stream,
        mapping: TableMapping,
        window: Window,
        paths: Sequence[str],
        *,
        partition: str | None = None,
    ) -> tuple[int, int]:
        """Return how many rows of a window (and a partition) are in the table only, and in the data files only.

        Rows are compared by full-row hash, and counted with multiplicity, by ClickHouse.
        """
        ...

    def contents(self, stream: Stream) -> Mapping[str, PartitionContent]:
        """Return what every non-empty partition of the source table holds, by id.

        A table without a partition key has one partition; an engine without parts has none.
        """
        ...

    def spans(self, stream: Stream, partitions: Collection[str], watermark: datetime) -> Mapping[str, PartitionSpan]:
        """Return first and last instant of partitions, and their rows at or above ``watermark``, by id.

        A partition that is gone has none.
        """
        ...

    def tally(
        self, stream: Stream, mapping: TableMapping, windows: Sequence[Window], *, exact: bool
    ) -> Sequence[Fingerprint]:
        """Count the rows of windows that are contiguous and ascending, all in one reading of the table.

        The digests are computed where ``exact``, and 0 elsewhere.
        """
        ...

    def late_rows(
        self,
        stream: Stream,
        mapping: TableMapping,
        window: Window,
        paths: Sequence[str],
        *,
        not_before: datetime | None = None,
    ) -> Difference:
        """Return the multiset difference of a window's rows, table against data files, by full-row hash.

        The files may hold rows of other windows, which are left out. Rows older than ``not_before`` are too late.
        """
        ...


# ----------------------------------------------------------------------------------------- ledger


class StreamState(StrEnum):
    """Whether a stream is worked on."""

    ACTIVE = "active"
    HALTED = "halted"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRecord:
    """A stream's row in ``offload_watermarks``.

    ``watermark`` is ``BEGINNING`` where nothing was read; ``last_upper`` is the upper bound of the last
    non-empty window, ``last_batch_id`` the batch that was published last; the UUIDs are ``None`` until the first claim
    that saw the tables.
    """

    stream: str
    watermark: datetime
    last_upper: datetime | None
    generation: int
    source_uuid: UUID | None
    target_uuid: UUID | None
    epoch: int
    owner: str | None
    lease_expires: datetime | None
    state: StreamState
    halt_reason: str | None
    halt_remedy: str | None
    updated: datetime
    last_batch_id: UUID | None = None

    @property
    def progress(self) -> Progress:
        """What the target table has to prove."""
        return Progress(last_upper=self.last_upper, generation=self.generation, last_batch_id=self.last_batch_id)

    @classmethod
    def unseen(cls, stream: str, now: datetime) -> Self:
        """Return the record of a stream that nobody has worked on, as the first claim finds it."""
        return cls(
            stream=stream,
            watermark=BEGINNING,
            last_upper=None,
            generation=1,
            source_uuid=None,
            target_uuid=None,
            epoch=0,
            owner=None,
            lease_expires=None,
            state=StreamState.ACTIVE,
            halt_reason=None,
            halt_remedy=None,
            updated=now,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A lease on a stream at one epoch: the fence of everything that its owner writes."""

    stream: str
    owner: str
    epoch: int
    record: StreamRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """A batch's row in ``offload_batches``."""

    batch_id: UUID
    stream: str
    kind: BatchKind
    window: Window
    generation: int
    status: BatchStatus
    rows: int
    bytes: int
    digest: str | None
    snapshot_id: int | None
    attempts: int
    error: str | None
    trace_id: str | None
    started: datetime
    ended: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """The event on whose behalf a batch runs, as it is recorded in ledger and summary."""

    event_id: str
    coordinates: Coordinates | None
    trace_id: str | None
    traceparent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The outcome of comparing the hot tier with the record.

    Attributes:
        partitions: partitions as they were compared.
        gone: ids of partitions that are not there any more.
        hot: what the hot tier holds of windows whose rows are not the cold tier's, by lower bound.
        findings: what an operator has to know.
    """

    partitions: Sequence[ComparedPartition] = ()
    gone: Sequence[str] = ()
    hot: Mapping[datetime, Fingerprint] = field(default_factory=dict)
    findings: Sequence[Finding] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxMessage:
    """An event that is published with a batch and relayed to Kafka afterwards."""

    number: int
    event: Event


class Ledger(Protocol):
    """Watermarks, leases, batches, attempts, parked events and the outbox: Postgres."""

    def register(self, stream: str) -> StreamRecord:
        """Create the stream's row unless it exists, and return it."""
        ...

    def read(self, streams: Sequence[str]) -> Mapping[str, StreamRecord]:
        """Return the records of the streams that have one."""
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

    def bind(self, claim: Claim, *, source_uuid: UUID, target_uuid: UUID) -> None:
        """Record which tables the stream is between, at the first claim that sees them; under the fence."""
        ...

    def begin(self, claim: Claim, batch: Batch, trigger: Trigger) -> None:
        """Record that a batch is being written, and count the attempt; under the fence."""
        ...

    def stage(self, claim: Claim, batch_id: UUID, prefix: str, files: Sequence[WrittenFile]) -> None:
        """Record the attempt prefix before it is written to (no files yet), and its files once they are."""
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


# ------------------------------------------------------------------------------------------- cold tier


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTable:
    """A target table as the catalog shows it now; ``schema`` carries the table's own field ids."""

    name: TableName
    uuid: UUID
    location: str
    schema: Schema
    snapshot_id: int | None
    evidence: Evidence | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Everything that one publish makes true at once."""

    claim: Claim
    stream: Stream
    batch: Batch
    trigger: Trigger
    files: Sequence[WrittenFile]
    outbox: Sequence[Event]

    @property
    def fingerprint(self) -> Fingerprint:
        """Fingerprint of the whole batch: the sum over its files."""
        return sum((file.fingerprint for file in self.files), Fingerprint(rows=0, digest=0))


class Catalog(Protocol):
    """The cold tier's tables, and the one committer that makes files visible."""

    def ensure(self, stream: Stream, mapping: TableMapping, *, expected_uuid: UUID | None) -> TargetTable:
        """Load the target and compare its schema and partition spec with the stream's.

        The table is created where it does not exist, ``expected_uuid`` is ``None`` and the stream allows it.

        Raises:
            TargetMissingError: if it does not exist and may not be created.
            TargetMismatchError: if schema or partition spec differ, naming the first difference.
            DivergenceError: if it is not the table that the ledger knows (``expected_uuid``).
        """
        ...

    def inspect(self, table: TableName) -> TargetTable | None:
        """Load a target with the evidence on its current snapshot's ancestry; ``None`` where there is none."""
        ...

    def check(self, target: TargetTable, stream: Stream, files: Sequence[WrittenFile]) -> None:
        """Compare each file's footer on the store with what its task reported.

        Raises:
            CheckFailedError: naming the file and the difference.
        """
        ...

    def publish(self, publication: Publication) -> int:
        """Publish a batch in one transaction, and return the snapshot id.

        Raises:
            FencedError, BaseMovedError, DivergenceError, UnknownCommitError, LedgerUnavailableError,
            StoreUnavailableError
        """
        ...

    def data_files(self, table: TableName, partition_by: PartitionBy, window: Window | None) -> Sequence[str]:
        """Return the paths of the live data files of the current snapshot (that may hold rows of ``window``)."""
        ...


# ------------------------------------------------------------------------------------------- engine


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitReport:
    """What one task reports of the unit that it wrote; times in nanoseconds since the Unix epoch."""

    file: WrittenFile
    started_ns: int
    ended_ns: int


class BatchEngine(Protocol):
    """Writes the units of a batch as data files: Spark."""

    def write(
        self,
        *,
        stream: Stream,
        mapping: TableMapping,
        target: TargetTable,
        batch: Batch,
        prefix: str,
        traceparent: str | None,
    ) -> Sequence[UnitReport]:
        """Write every unit under ``prefix`` and return one report for each file (none for a unit without rows).

        Raises:
            SourceUnavailableError, StoreUnavailableError, EngineFailedError, CheckFailedError
        """
        ...

    def cancel(self, batch_id: UUID) -> None:
        """Cancel the tasks of a batch, if any run; what they wrote stays under their own paths."""
        ...


# ------------------------------------------------------------------------------------------- telemetry


class Metrics(Protocol):
    """What the service counts and measures; labels are bounded (stream, kind, step, outcome, reason)."""

    def event_handled(self, stream: str, type_: str, outcome: str) -> None:
        """Count an event by how its handling ended."""
        ...

    def step(self, stream: str, step: str, seconds: float) -> None:
        """Record how long a step of a batch took (claim, plan, write, check, publish)."""
        ...

    def batch(self, stream: str, kind: str, outcome: str, *, rows: int, bytes: int, seconds: float) -> None:
        """Count a batch by its outcome, with rows and bytes where it was published."""
        ...

    def watermark(self, stream: str, watermark: datetime, lag: timedelta) -> None:
        """Record a stream's watermark and lag."""
        ...

    def state(self, stream: str, *, halted: bool) -> None:
        """Record whether a stream is halted."""
        ...

    def time_to_loss(self, stream: str, seconds: float) -> None:
        """Record a stream's time to loss: infinite where nothing can be lost, not a number where it is unknown."""
        ...

    def unknown_commit(self, stream: str, outcome: str) -> None:
        """Count an unknown commit by what the read-back found (landed, not_landed)."""
        ...

    def conflict(self, stream: str) -> None:
        """Count a publish that had to restage because the table had moved."""
        ...

    def lease(self, stream: str) -> None:
        """Count a change of a stream's lease epoch."""
        ...

    def dead_letter(self, reason: str) -> None:
        """Count a dead letter by reason."""
        ...
