"""A hot tier in memory."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from consumer.domain.errors import SourceChangedError, SourceMissingError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.inventory import Inventory, Partition, PartitionContent
from consumer.domain.mapping import SourceColumn, TableMapping
from consumer.domain.reconcile import LATE_ROWS_MAX, Difference, LateRow, PartitionSpan
from consumer.domain.stream import Stream, TableName
from consumer.domain.table_ttl import row_ttls
from consumer.domain.window import MICROSECOND, PartitionBy, Window
from consumer.ports import Bucket, Extent, SequenceReport, SourceTable, Step

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


@dataclass(slots=True, kw_only=True)
class _Parts:
    """What the parts of one partition tell, rows and times apart."""

    min_block: int
    max_block: int
    data_version: int = 0
    modified: datetime


class MemorySource:
    """A hot tier of tables in memory, partitioned by day; time stands still until a test moves it.

    Besides the port ``Source`` this is the emitter's ``InventorySource``.
    """

    def __init__(self, now: datetime, *, new_uuid: Callable[[], UUID] = uuid4) -> None:
        self.time = now
        self.tables: dict[TableName, list[Row]] = {}
        self.files: dict[str, list[Row]] = {}
        self.clauses: dict[TableName, str] = {}
        """The TTL rules of tables that have some, as ClickHouse writes them."""
        self.queries = 0
        self._new_uuid = new_uuid
        self._uuids: dict[TableName, UUID] = {}
        self._described: dict[TableName, UUID] = {}
        self._parts: dict[tuple[TableName, datetime], _Parts] = {}
        self._blocks = 0

    def create(self, table: TableName, rows: Iterable[Row] = ()) -> None:
        """Create a table with rows; a second time makes it another table."""
        self.tables[table] = []
        self._uuids[table] = self._new_uuid()
        self.insert(table, rows)

    def insert(self, table: TableName, rows: Iterable[Row]) -> None:
        """Insert rows: one block, and one new part in each partition that they belong to."""
        self._blocks += 1
        added = list(rows)
        self.tables[table] += added
        for day in {_day(row) for row in added}:
            parts = self._parts.setdefault(
                (table, day), _Parts(min_block=self._blocks, max_block=self._blocks, modified=self.time)
            )
            parts.max_block, parts.modified = self._blocks, self.time

    def delete(self, table: TableName, doomed: Callable[[Row], bool]) -> list[Row]:
        """Delete rows by a mutation, and return them; partitions that become empty are gone."""
        self._blocks += 1
        gone = [row for row in self.tables[table] if doomed(row)]
        self.tables[table] = [row for row in self.tables[table] if not doomed(row)]
        for day in {_day(row) for row in gone}:
            parts = self._parts.get((table, day))
            if parts is not None:
                parts.data_version, parts.modified = self._blocks, self.time
        return gone

    def inventory(self, stream: Stream) -> Inventory:
        """List the partitions of a stream's source table."""
        self.describe(stream.source)
        days: dict[datetime, list[datetime]] = {}
        for row in self.tables[stream.source]:
            days.setdefault(_day(row), []).append(row.ts)
        return Inventory(
            table=stream.source,
            partitions=tuple(self._partition(stream.source, day, days[day]) for day in sorted(days)),
            period=PartitionBy.DAY,
            precision=MICROSECOND,
        )

    def _partition(self, table: TableName, day: datetime, times: list[datetime]) -> Partition:
        parts = self._parts.get((table, day)) or _Parts(min_block=0, max_block=0, modified=max(times))
        return Partition(
            id=f"{day:%Y%m%d}",
            content=PartitionContent(
                rows=len(times),
                min_block=parts.min_block,
                max_block=parts.max_block,
                data_version=parts.data_version,
            ),
            modified=parts.modified,
            first=min(times),
            last=max(times),
        )

    def now(self) -> datetime:
        """Return the fake's time."""
        return self.time

    def describe(self, table: TableName) -> SourceTable:
        """Describe a table; all have the same columns."""
        self._described[table] = self._uuid(table)
        return SourceTable(
            name=table,
            uuid=self._uuids[table],
            engine="MergeTree",
            partition_key="toDate(ts)",
            sorting_key="ts, seq",
            columns=COLUMNS,
            ttls=row_ttls(f"MergeTree ORDER BY ts TTL {self.clauses[table]}") if table in self.clauses else (),
            server_zone="UTC",
        )

    def rows(self, stream: Stream, window: Window) -> list[Row]:
        """Return the rows of a window in their order; of the table that was described, and no other of its name."""
        self.queries += 1
        if self._uuid(stream.source) != self._described.get(stream.source, self._uuid(stream.source)):
            raise SourceChangedError(
                f"the name {stream.source} means another table than the described one",
                remedy="put the recorded table back, or give the new one a stream of its own",
            )
        return sorted(row for row in self.tables[stream.source] if window.contains(row.ts))

    def _uuid(self, table: TableName) -> UUID:
        if table not in self.tables:
            raise SourceMissingError(f"the source table {table} does not exist", remedy="create it")
        return self._uuids[table]

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
        if not sequences:
            return []
        cuts = sorted({sequences[position] for position in range(every, len(sequences), every)} - {sequences[0]})
        return [(str(cut),) for cut in cuts]

    def fingerprint(
        self, stream: Stream, mapping: TableMapping, window: Window, *, partition: str | None = None
    ) -> Fingerprint:
        """Return the fingerprint of the rows of a window, and of a day where one is named."""
        del mapping
        return fingerprint_of(row for row in self.rows(stream, window) if _within(row, partition))

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
        self,
        stream: Stream,
        mapping: TableMapping,
        window: Window,
        paths: Sequence[str],
        *,
        partition: str | None = None,
    ) -> tuple[int, int]:
        """Return how many rows are in the table only, and in the files only."""
        del mapping
        hot = Counter(row for row in self.rows(stream, window) if _within(row, partition))
        cold = Counter(row for path in paths for row in self.files[path])
        return (hot - cold).total(), (cold - hot).total()

    def contents(self, stream: Stream) -> Mapping[str, PartitionContent]:
        """Return what every partition holds."""
        self.describe(stream.source)
        return {partition.id: partition.content for partition in self.inventory(stream).partitions}

    def spans(self, stream: Stream, partitions: Collection[str], watermark: datetime) -> Mapping[str, PartitionSpan]:
        """Return first and last instant of partitions, and their rows at or above ``watermark``."""
        times: dict[str, list[datetime]] = {}
        for row in self.tables[stream.source]:
            times.setdefault(f"{_day(row):%Y%m%d}", []).append(row.ts)
        return {
            id_: PartitionSpan(
                first=min(instants), last=max(instants), pending=sum(instant >= watermark for instant in instants)
            )
            for id_, instants in times.items()
            if id_ in partitions
        }

    def tally(
        self, stream: Stream, mapping: TableMapping, windows: Sequence[Window], *, exact: bool
    ) -> Sequence[Fingerprint]:
        """Count the rows of windows, all in one reading; with their digests where ``exact``."""
        del mapping
        rows = self.rows(stream, Window(lower=windows[0].lower, upper=windows[-1].upper))
        found = [fingerprint_of(row for row in rows if window.contains(row.ts)) for window in windows]
        return found if exact else [Fingerprint(rows=each.rows, digest=0) for each in found]

    def late_rows(
        self,
        stream: Stream,
        mapping: TableMapping,
        window: Window,
        paths: Sequence[str],
        *,
        not_before: datetime | None = None,
    ) -> Difference:
        """Return the multiset difference of a window's rows."""
        del mapping
        hot = Counter(self.rows(stream, window))
        cold = Counter(row for path in paths for row in self.files[path] if window.contains(row.ts))
        missing = hot - cold
        late = {row: count for row, count in missing.items() if not_before is None or row.ts >= not_before}
        return Difference(
            late=tuple(
                LateRow(hash=row.fingerprint().digest, rows=count, instant=row.ts)
                for row, count in sorted(late.items())[:LATE_ROWS_MAX]
            ),
            missing=missing.total(),
            refused=missing.total() - sum(late.values()),
            surplus=(cold - hot).total(),
            hot=fingerprint_of(hot.elements()),
        )


def _within(row: Row, partition: str | None) -> bool:
    return partition is None or f"{_day(row):%Y%m%d}" == partition


def _day(row: Row) -> datetime:
    return PartitionBy.DAY.floor(row.ts)


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
