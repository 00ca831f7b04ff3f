"""Compaction: small data files of closed partitions become larger ones, a bounded batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from consumer.domain.compaction import (
    DEFAULT_FILE_BYTES,
    Bin,
    Limits,
    TableState,
    bins,
    candidates,
    compaction_batch,
    first_batch,
    parts_of,
)
from consumer.domain.maintenance import Part, TaskName, TaskPlan
from consumer.domain.phrasing import counted
from consumer.domain.stream import Stream
from consumer.failpoints.acting import Failpoints
from consumer.ports import Claim, Ledger
from consumer.service.batch_context import BatchContext
from consumer.service.batch_run import BatchRunner
from consumer.service.maintaining.ports import CompactedTables, MaintenanceLedger
from consumer.service.maintaining.task import Performed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What was found: the bins that are worth rewriting, and what is left alone and why."""

    state: TableState | None
    bins: Sequence[Bin]
    left: Sequence[str]


class Compaction:
    """Plans rewrites of a target's data files, and publishes them like any other batch."""

    name = TaskName.COMPACTION

    def __init__(
        self,
        *,
        tables: CompactedTables,
        ledger: Ledger,
        records: MaintenanceLedger,
        runner: BatchRunner,
        failpoints: Failpoints,
    ) -> None:
        self._tables = tables
        self._ledger = ledger
        self._records = records
        self._runner = runner
        self._failpoints = failpoints

    def review(self, stream: Stream) -> TaskPlan:
        """Return which partitions would be rewritten; see :class:`MaintenanceTask`."""
        record = self._ledger.read([stream.name]).get(stream.name)
        if record is None or record.target_uuid is None:
            return TaskPlan(task=self.name)
        look = self._look(stream, record.watermark)
        return TaskPlan(task=self.name, parts=parts_of(look.bins), left=look.left)

    def perform(self, context: BatchContext, claim: Claim) -> Performed:
        """Rewrite as many bins as one batch may; see :class:`MaintenanceTask`.

        Raises:
            StaleDifferenceError: if the files have changed meanwhile: they are to be looked at again.
            FencedError, StreamError, TransientError: as the steps of a batch raise them.
        """
        context.still_ours()
        with self._failpoints.around("maintenance.abandon"):
            self._records.abandon(claim)
        stream = context.stream
        look = self._look(stream, claim.record.watermark)
        if look.state is None or not look.bins:
            return Performed(left=look.left)
        chosen = first_batch(look.bins, stream.maintenance.compaction.batch_bytes)
        batch = compaction_batch(
            stream=stream.name,
            target_uuid=context.work.target.uuid,
            generation=claim.record.generation,
            epoch=claim.epoch,
            state=look.state,
            chosen=chosen,
        )
        self._runner.run(replace(context, dependants=()), claim, batch)
        written = self._ledger.resolve(stream.name, batch.id)
        size = 0 if written is None else written.bytes
        return Performed(parts=_done(parts_of(chosen), size), more=len(chosen) < len(look.bins), left=look.left)

    def _look(self, stream: Stream, watermark: datetime) -> _Look:
        state = self._tables.state(stream, watermark)
        if state is None:
            return _Look(state=None, bins=(), left=())
        if state.obstacle is not None:
            return _Look(state=state, bins=(), left=(state.obstacle,))
        limits = self._limits(stream)
        chosen = candidates(state.files, watermark, limits)
        layouts = self._tables.layouts(stream, [file.path for file in chosen])
        unknown = sum(file.path not in layouts for file in chosen)
        left = []
        if state.foreign:
            left.append(f"{counted(state.foreign, 'file')} of another partition spec than the present one")
        if unknown:
            left.append(f"{counted(unknown, 'file')} whose columns fit none of the table's schemas")
        return _Look(state=state, bins=bins(chosen, layouts, limits), left=left)

    def _limits(self, stream: Stream) -> Limits:
        policy = stream.maintenance.compaction
        return Limits(
            file_bytes=policy.target_file_bytes or self._tables.file_bytes(stream) or DEFAULT_FILE_BYTES,
            # What bounds the memory of a task that offloads bounds that of one that sorts.
            file_rows=stream.bounds.unit_rows,
            min_input_files=policy.min_input_files,
        )


def _done(parts: Sequence[Part], written: int) -> list[Part]:
    """Return parts with what was written in all, shared out by their sizes before: files are not told apart here."""
    planned = sum(part.bytes_after for part in parts)
    shares = [written * part.bytes_after // planned if planned else 0 for part in parts]
    if shares:
        shares[-1] += written - sum(shares)
    return [replace(part, bytes_after=share) for part, share in zip(parts, shares, strict=True)]
