"""An engine that writes the rows of a hot tier in memory into files in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from consumer.domain.batch import Batch, KeptRows, SequenceRange, Unit, WrittenFile
from consumer.domain.errors import EngineFailedError, IcehaulError
from consumer.domain.mapping import TableMapping
from consumer.domain.reconcile import LateRow
from consumer.domain.stream import Stream
from consumer.ports import TargetTable, UnitReport
from consumer.testing.rows import ROW_BYTES, Row, fingerprint_of
from consumer.testing.source import MemorySource


class MemoryEngine:
    """Writes units as lists of rows into the source's ``files``, at least once, under paths of their own.

    ``hit`` is called at the failpoints of the effects ``task.read`` and ``task.close`` of each unit; what it raises
    ends the job, and leaves on the store what was written. Engines of several processes share a store by ``written``.
    """

    def __init__(
        self,
        source: MemorySource,
        *,
        written: dict[str, WrittenFile] | None = None,
        hit: Callable[[str], None] = lambda _: None,
        new_uuid: Callable[[], UUID] = uuid4,
    ) -> None:
        self._source = source
        self._hit = hit
        self._new_uuid = new_uuid
        self._lock = threading.Lock()
        self._running: list[_Job] = []
        self.failures: list[IcehaulError] = []
        self.cancelled: list[UUID] = []
        self.written: dict[str, WrittenFile] = {} if written is None else written
        self.jobs = 0

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
        """Write the units of a batch; raises the next of ``failures`` instead, while there are any."""
        del target, traceparent
        job = _Job(batch_id=batch.id)
        with self._lock:
            self.jobs += 1
            if self.failures:
                raise self.failures.pop(0)
            self._running.append(job)
        try:
            return [report for unit in batch.units for report in self._write(stream, mapping, unit, prefix, job)]
        finally:
            self._running.remove(job)

    def _write(self, stream: Stream, mapping: TableMapping, unit: Unit, prefix: str, job: _Job) -> list[UnitReport]:
        self._hit("task.before-read")
        if job.cancelled:
            raise EngineFailedError(f"batch {job.batch_id} was cancelled", remedy="nothing to do: its owner gave it up")
        if unit.rewriting is not None:
            rows = sorted(row for path in unit.rewriting.paths for row in self._source.files[path])
        elif unit.kept is None:
            rows = [row for row in self._source.rows(stream, unit.window, mapping) if _within(row, unit.sequence)]
        else:
            rows = [row for row in self._source.files[unit.kept.path] if _kept(row, unit.kept)]
        if unit.late is not None:
            rows = _only_late(rows, unit.late)
        self._hit("task.after-read")
        if not rows:
            return []
        self._hit("task.before-close")
        path = f"{prefix}/{unit.index}-{self._new_uuid()}.parquet"
        self._source.files[path] = rows
        file = WrittenFile(
            unit=unit.index,
            path=path,
            bytes=len(rows) * ROW_BYTES,
            fingerprint=fingerprint_of(rows),
            kept=unit.kept is not None or unit.rewriting is not None,
        )
        self.written[path] = file
        self._hit("task.after-close")
        return [UnitReport(file=file)]

    def cancel(self, batch_id: UUID) -> None:
        """Remember what was cancelled; a job of the batch that runs ends with :class:`EngineFailedError`."""
        self.cancelled.append(batch_id)
        for job in self._running:
            job.cancelled = job.cancelled or job.batch_id == batch_id


def _kept(row: Row, kept: KeptRows) -> bool:
    return not kept.outside.contains(row.ts) and (kept.inside is None or kept.inside.contains(row.ts))


def _only_late(rows: Sequence[Row], late: Sequence[LateRow]) -> list[Row]:
    """Return those rows that are late, each as often as it is."""
    left = {each.hash: each.rows for each in late}
    taken = []
    for row in rows:
        digest = row.fingerprint().digest
        if left.get(digest, 0):
            left[digest] -= 1
            taken.append(row)
    return taken


@dataclass(eq=False, slots=True, kw_only=True)
class _Job:
    batch_id: UUID
    cancelled: bool = False


def _within(row: Row, sequence: SequenceRange | None) -> bool:
    if sequence is None:
        return True
    above = sequence.lower is None or row.seq >= int(sequence.lower[0])
    below = sequence.upper is None or row.seq < int(sequence.upper[0])
    return above and below
