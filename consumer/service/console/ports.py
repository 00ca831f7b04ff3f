"""What the console needs of the ledger: every answer is bounded, whatever the ledger has gathered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from consumer.domain.event import Coordinates
from consumer.domain.reconcile import Finding
from consumer.ports import BatchRecord, StreamRecord

COUNT_LIMIT = 1000
"""Further than this nobody counts for the console: a number that has reached it means so many, or more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSummary:
    """A stream's record with what stands open for it.

    ``latest`` is the batch that was begun last. ``parked`` counts its parked events, ``findings`` those that nobody has
    accepted, ``backfills`` the open requests for history: each up to :data:`COUNT_LIMIT`.
    """

    record: StreamRecord
    latest: BatchRecord | None
    parked: int
    findings: int
    backfills: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlace:
    """Where a page of batches ends: the next one goes on with batches that were begun before this one."""

    started: datetime
    batch_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDetail:
    """A batch with who wrote it, on behalf of which events (the latest hundred), and how many files it has.

    ``coordinates`` are where the event of its last attempt stood; ``files`` counts up to :data:`COUNT_LIMIT`.
    """

    batch: BatchRecord
    owner: str
    epoch: int
    coordinates: Coordinates | None
    event_ids: Sequence[str]
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """A data file that an attempt at a batch wrote; ``prefix`` is the attempt's, ``digest`` of its rows."""

    path: str
    prefix: str
    unit: int
    rows: int
    bytes: int
    digest: str
    created: datetime


class History(Protocol):
    """The ledger as the console reads it."""

    def summaries(self, streams: Sequence[str]) -> tuple[datetime, Mapping[str, StreamSummary]]:
        """Return the ledger server's time, and the summaries of the streams that have a record."""
        ...

    def findings(self, stream: str, limit: int) -> Sequence[Finding]:
        """Return what was found in the hot tier and nobody has accepted, by window."""
        ...

    def page(self, stream: str, limit: int, before: BatchPlace | None) -> Sequence[BatchRecord]:
        """Return batches in the order in which they were begun, newest first, from the newest or ``before`` a place."""
        ...

    def batch(self, batch_id: UUID) -> BatchDetail | None:
        """Return a batch."""
        ...

    def files(self, batch_id: UUID, limit: int, after: str) -> Sequence[FileRecord]:
        """Return files of a batch by path, those above ``after`` (``""``: from the first)."""
        ...
