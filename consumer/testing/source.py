"""A hot tier in memory, and an engine that writes its rows into files in memory."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from consumer.domain.batch import Batch, SequenceRange, Unit, WrittenFile
from consumer.domain.errors import IcehaulError, SourceMissingError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.mapping import SourceColumn, TableMapping
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import PartitionBy, Window
from consumer.ports import Bucket, Extent, SequenceReport, SourceTable, Step, TargetTable, UnitReport

ROW_BYTES = 100
"""What every row of the fake weighs."""

COLUMNS = (
    SourceColumn(name="ts", type="DateTime64(6, 'UTC')"),
    SourceColumn(name="seq", type="UInt64"),
    SourceColumn(name="value", type="Int64"),
)
"""The columns of every table of the fake."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Row:
    """A row of the fake: time column ``ts``, sequence column ``seq``, and a value."""

    ts: datetime
    seq: int
    value: int = 0

    def fingerprint(self) -> Fingerprint:
        """Return the fingerprint of this row alone."""
        text = f"{self.ts.isoformat()}|{self.seq}|{self.value}"
        digest = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
        return Fingerprint(rows=1, digest=digest)


def fingerprint_of(rows: Iterable[Row]) -> Fingerprint:
    """Return the fingerprint of some rows."""
    return sum((row.fingerprint() for row in rows), EMPTY)


class MemorySource:
    """A hot tier of tables in memory; time stands still until a test moves it."""

    def __init__(self, now: datetime) -> None:
        self.time = now
        self.tables: dict[TableName, list[Row]] = {}
        self.files: dict[str, list[Row]] = {}
        self.queries = 0
        self._uuids: dict[TableName, UUID] = {}

    def create(self, table: TableName, rows: Iterable[Row] = ()) -> None:
        """Create a table with rows; a second time makes it another table."""
        self.tables[table] = list(rows)
        self._uuids[table] = uuid4()

    def now(self) -> datetime:
        """Return the fake's time."""
        return self.time

    def describe(self, table: TableName) -> SourceTable:
        """Describe a table; all have the same columns."""
        if table not in self.tables:
            raise SourceMissingError(f"the source table {table} does not exist", remedy="create it")
        return SourceTable(
            name=table,
            uuid=self._uuids[table],
            engine="MergeTree",
            partition_key="toDate(ts)",
            sorting_key="ts, seq",
            columns=COLUMNS,
        )

    def rows(self, stream: Stream, window: Window) -> list[Row]:
        """Return the rows of a window in their order."""
        self.queries += 1
        return sorted(row for row in self.tables[stream.source] if window.contains(row.ts))

    def extent(self, stream: Stream, window: Window) -> Extent:
        """Count the rows of a window."""
        rows = self.rows(stream, window)
        return Extent(
            rows=len(rows),
            bytes=len(rows) * ROW_BYTES,
            first=rows[0].ts if rows else None,
            last=rows[-1].ts if rows else None,
        )

    def histogram(self, stream: Stream, window: Window, step: Step) -> Sequence[Bucket]:
        """Count the rows of a window by steps."""
        counts = Counter(_floor(row.ts, step) for row in self.rows(stream, window))
        return [Bucket(start=start, rows=count, bytes=count * ROW_BYTES) for start, count in sorted(counts.items())]

    def sequence_bounds(self, stream: Stream, window: Window, every: int) -> Sequence[tuple[str, ...]]:
        """Return the sequence column's value at each ``every``-th row, as far as it can split the window."""
        sequences = [row.seq for row in self.rows(stream, window)]
        cuts = sorted({sequences[position] for position in range(every, len(sequences), every)} - {sequences[0]})
        return [(str(cut),) for cut in cuts]

    def fingerprint(self, stream: Stream, mapping: TableMapping, window: Window) -> Fingerprint:
        """Return the fingerprint of the rows of a window."""
        del mapping
        return fingerprint_of(self.rows(stream, window))

    def fingerprint_files(self, mapping: TableMapping, paths: Sequence[str]) -> Fingerprint:
        """Return the fingerprint of files that the fake engine wrote."""
        del mapping
        return fingerprint_of(row for path in paths for row in self.files[path])

    def sequence_report(self, stream: Stream, window: Window) -> SequenceReport:
        """Report repeated values and gaps of the sequence column."""
        numbers = [row.seq for row in self.rows(stream, window)]
        if not numbers:
            return SequenceReport(repeated=0, gaps=0)
        distinct = len(set(numbers))
        return SequenceReport(repeated=len(numbers) - distinct, gaps=max(numbers) - min(numbers) + 1 - distinct)

    def difference(
        self, stream: Stream, mapping: TableMapping, window: Window, paths: Sequence[str]
    ) -> tuple[int, int]:
        """Return how many rows are in the table only, and in the files only."""
        del mapping
        hot = Counter(self.rows(stream, window))
        cold = Counter(row for path in paths for row in self.files[path])
        return (hot - cold).total(), (cold - hot).total()


class MemoryEngine:
    """Writes units as lists of rows into the source's ``files``, at least once, under paths of their own."""

    def __init__(self, source: MemorySource) -> None:
        self._source = source
        self._lock = threading.Lock()
        self.failures: list[IcehaulError] = []
        self.cancelled: list[UUID] = []
        self.written: dict[str, WrittenFile] = {}
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
        del mapping, target, traceparent
        with self._lock:
            self.jobs += 1
            if self.failures:
                raise self.failures.pop(0)
        return [report for unit in batch.units for report in self._write(stream, unit, prefix)]

    def _write(self, stream: Stream, unit: Unit, prefix: str) -> list[UnitReport]:
        rows = [row for row in self._source.rows(stream, unit.window) if _within(row, unit.sequence)]
        if not rows:
            return []
        path = f"{prefix}/{unit.index}-{uuid4()}.parquet"
        self._source.files[path] = rows
        file = WrittenFile(unit=unit.index, path=path, bytes=len(rows) * ROW_BYTES, fingerprint=fingerprint_of(rows))
        self.written[path] = file
        return [UnitReport(file=file, started_ns=0, ended_ns=1)]

    def cancel(self, batch_id: UUID) -> None:
        """Remember what was cancelled."""
        self.cancelled.append(batch_id)


def _within(row: Row, sequence: SequenceRange | None) -> bool:
    if sequence is None:
        return True
    above = sequence.lower is None or row.seq >= int(sequence.lower[0])
    below = sequence.upper is None or row.seq < int(sequence.upper[0])
    return above and below


_FIXED: Mapping[Step, timedelta] = {
    Step.MINUTE: timedelta(minutes=1),
    Step.SECOND: timedelta(seconds=1),
    Step.MILLISECOND: timedelta(milliseconds=1),
    Step.MICROSECOND: timedelta(microseconds=1),
}


def _floor(instant: datetime, step: Step) -> datetime:
    if step in _FIXED:
        day = PartitionBy.DAY.floor(instant)
        return day + ((instant - day) // _FIXED[step]) * _FIXED[step]
    return PartitionBy(step).floor(instant)
