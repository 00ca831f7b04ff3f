"""What the ledger records of a stream."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from consumer.domain.batch import Batch, BatchKind, Progress
from consumer.domain.schema_history import SchemaHistory
from consumer.domain.window import BEGINNING


class StreamState(StrEnum):
    """Whether a stream is worked on."""

    ACTIVE = "active"
    HALTED = "halted"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRecord:
    """A stream's row in ``offload_watermarks``.

    ``watermark`` is at the ``start`` where nothing was read; ``last_upper`` is the upper bound of the last
    non-empty window, ``last_batch_id`` the batch that was published last; the UUIDs are ``None`` until the first claim
    that saw the tables. Live windows lead from ``start`` to the watermark; ``last_backfill_id`` is the backfill batch
    that was done last; rows below ``adopted`` were in the target before icehaul. ``schemas`` are the columns that the
    source had through time; nothing where that was not recorded yet.
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
    start: datetime = BEGINNING
    last_backfill_id: UUID | None = None
    adopted: datetime | None = None
    schemas: SchemaHistory = ()

    def after(self, batch: Batch) -> Self:
        """Return the record as it is once a batch is published; a rewrite changes no row, and so nothing here."""
        if batch.kind is BatchKind.MAINTENANCE:
            return self
        record = replace(self, last_batch_id=batch.id)
        if batch.kind is BatchKind.WINDOW:
            return replace(record, watermark=batch.window.upper, last_upper=batch.window.upper)
        if batch.kind is BatchKind.BACKFILL:
            return replace(record, last_backfill_id=batch.id)
        if batch.rewind is not None:
            back = batch.rewind
            return replace(record, watermark=back.watermark, last_upper=back.last_upper, generation=batch.proves)
        return record

    @property
    def unread(self) -> bool:
        """Whether no live window was read yet."""
        return self.watermark == self.start

    @property
    def progress(self) -> Progress:
        """What the target table has to prove."""
        return Progress(last_upper=self.last_upper, generation=self.generation, last_batch_id=self.last_batch_id)

    @property
    def position(self) -> tuple[object, ...]:
        """What changes with all that is published, and with the target: two looks with the same one saw one state."""
        return (self.watermark, self.progress, self.target_uuid, self.last_backfill_id)

    @classmethod
    def unseen(cls, stream: str, now: datetime, start: datetime = BEGINNING) -> Self:
        """Return the record of a stream that nobody has worked on, as the first claim finds it."""
        return cls(
            stream=stream,
            watermark=start,
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
            start=start,
        )
