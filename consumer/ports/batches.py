"""Batches as the ledger records them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.event import Coordinates
from consumer.domain.proof import Proof
from consumer.domain.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """A batch's row in ``offload_batches``.

    ``rows`` and ``digest`` are those of what was read, ``proof`` is what was found in the files; ``None`` where nothing
    was published, or before there were proofs.
    """

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
    proof: Proof | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """The event on whose behalf a batch runs, as it is recorded in ledger and summary."""

    event_id: str
    coordinates: Coordinates | None
    trace_id: str | None
    traceparent: str | None
