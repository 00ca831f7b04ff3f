"""A hot tier in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from consumer.domain.differing import Differing, DifferingRow
from consumer.domain.errors import CheckFailedError, SourceMissingError, TimeColumnError
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.held_rows import FilePart
from consumer.domain.inventory import Inventory
from consumer.domain.mapping import TableMapping
from consumer.domain.partition_bounds import PartitionBounds
from consumer.domain.reconcile import LATE_ROWS_MAX, Difference, LateRow, PartitionSpan
from consumer.domain.replacement import FileShare
from consumer.domain.stream import Stream
from consumer.domain.time_type import time_type
from consumer.domain.window import BEGINNING, END_OF_TIME, PartitionBy, Window
from consumer.ports import Bucket, Extent, SequenceReport, Step, Survey
from consumer.testing.rows import ROW_BYTES, Row, file_parts, fingerprint_of
from consumer.testing.steps import bucket_start
from consumer.testing.tables import MemoryTables


class MemorySource(MemoryTables):
    """A hot tier of tables in memory: the port ``Source``, and the emitter's ``InventorySource``."""

    def inventory(self, stream: Stream) -> Inventory:
        """List the partitions of a stream's source table.

        Raises:
            SourceMissingError: if the table or its time column does not exist.
            TimeColumnError: if the time column has no type of a time.
        """
        described = self.describe(stream.source)
        types = {column.name: column.type for column in described.columns}
        if stream.timestamp_column not in types:
            raise SourceMissingError(
                f"stream {stream.name}: timestamp_column {stream.timestamp_column!r} is no column of {stream.source}",
                remedy=f"name one of {', '.join(types)}",
            )
        try:
            resolution = time_type(types[stream.timestamp_column]).resolution
        except ValueError as error:
            raise TimeColumnError(
                f"stream {stream.name}: timestamp_column {stream.timestamp_column!r}: {error}", remedy="name another"
            ) from None
        return Inventory(
            table=stream.source,
            partitions=self.partitions(stream.source),
            period=PartitionBy.DAY,
            precision=timedelta(microseconds=resolution),
        )

    def now(self) -> datetime:
        """Return the fake's time."""
        self.check_up()
        return self.time

    def extent(self, stream: Stream, window: Window) -> Extent:
        """Count the rows of a window.

        Raises:
            TimeColumnError: if it holds an instant outside the years 1900 to 2299.
        """
        rows = self._rows_in_range(stream, window)
        return Extent(
            rows=len(rows),
            bytes=len(rows) * ROW_BYTES,
            first=rows[0].ts if rows else None,
            last=rows[-1].ts if rows else None,
        )

    def partition_bounds(self, stream: Stream, window: Window, most: int) -> Sequence[PartitionBounds] | None:
        """Return the first ``most`` days that reach into a window."""
        self._rows_in_range(stream, window)
        found = [
            PartitionBounds(first=one.first, last=one.last, rows=one.content.rows, bytes=one.content.rows * ROW_BYTES)
            for one in self.partitions(stream.source)
            if one.last >= window.lower and one.first < window.upper
        ]
        return sorted(found, key=lambda one: one.first)[:most]

    def first(self, stream: Stream, window: Window) -> datetime | None:
        """Return the instant of the first row in a window."""
        return next((row.ts for row in self._rows_in_range(stream, window)), None)

    def _rows_in_range(self, stream: Stream, window: Window) -> list[Row]:
        rows = self.rows(stream, window)
        if rows and rows[0].ts < BEGINNING:
            raise TimeColumnError(
                f"stream {stream.name}: {stream.source}.{stream.timestamp_column} holds an instant outside the years"
                " 1900 to 2299",
                remedy="delete such rows",
            )
        return rows

    def histogram(self, stream: Stream, window: Window, step: Step) -> Sequence[Bucket]:
        """Count the rows of a window by steps."""
        counts = Counter(bucket_start(row.ts, step) for row in self.rows(stream, window))
        return [Bucket(start=start, rows=count, bytes=count * ROW_BYTES) for start, count in sorted(counts.items())]

    def sequence_bounds(self, stream: Stream, window: Window, every: int) -> Sequence[tuple[str, ...]]:
        """Return the sequence column's value at each ``every``-th row, as far as it can split the window."""
        if not stream.sequence_columns:
            return []
        sequences = sorted(row.seq for row in self.rows(stream, window))
        cuts = {sequences[position] for position in range(every, len(sequences), every)}
        return [(str(cut),) for cut in sorted(cuts - set(sequences[:1]))]

    def fingerprint(
        self, stream: Stream, mapping: TableMapping, window: Window, *, partition: str | None = None
    ) -> Fingerprint:
        """Return the fingerprint of the rows of a window, and of a day where one is named."""
        return fingerprint_of(row for row in self.rows(stream, window, mapping) if _within(row, partition))

    def fingerprint_files(self, mapping: TableMapping, paths: Sequence[str]) -> Fingerprint:
        """Return the fingerprint of files that the fake engine wrote.

        Raises:
            CheckFailedError: if one is not there.
        """
        del mapping
        self.check_up()
        return fingerprint_of(row for path in paths for row in self._file(path))

    def sequence_report(self, stream: Stream, window: Window) -> SequenceReport:
        """Report repeated values and gaps of the sequence column."""
        if not stream.sequence_columns:
            return SequenceReport(repeated=0, gaps=None)
        numbers = [row.seq for row in self.rows(stream, window)]
        if not numbers:
            return SequenceReport(repeated=0, gaps=0)
        distinct = len(set(numbers))
        return SequenceReport(repeated=len(numbers) - distinct, gaps=max(numbers) - min(numbers) + 1 - distinct)

    def difference(
        self,
        stream: Stream,
        mapping: TableMapping,
        windows: Sequence[Window],
        paths: Sequence[str],
        *,
        partition: str | None = None,
    ) -> tuple[int, int]:
        """Return how many rows are in the table only, and in the files only."""
        rows = (row for window in windows for row in self.rows(stream, window, mapping))
        hot = Counter(row for row in rows if _within(row, partition))
        cold = Counter(row for path in paths for row in self._file(path))
        return (hot - cold).total(), (cold - hot).total()

    def survey(self, stream: Stream) -> Survey:
        """Return what every partition holds, and the table where it still looks as it was described last."""
        self.check_up()
        table = stream.source
        if table not in self.tables:
            return Survey(contents={}, table=None)
        known = self.last_described(table)
        return Survey(
            contents={partition.id: partition.content for partition in self.partitions(table)},
            table=known if known == self.describe(table) else None,
        )

    def spans(self, stream: Stream, partitions: Collection[str], watermark: datetime) -> Mapping[str, PartitionSpan]:
        """Return first and last instant of partitions, and their rows at or above ``watermark``."""
        times: dict[str, list[datetime]] = {}
        for row in self.tables[stream.source]:
            times.setdefault(_partition(row), []).append(row.ts)
        waiting = self.rows(stream, Window(lower=watermark, upper=END_OF_TIME)) if watermark < END_OF_TIME else []
        pending = Counter(_partition(row) for row in waiting)
        return {
            id_: PartitionSpan(first=min(instants), last=max(instants), pending=pending[id_])
            for id_, instants in times.items()
            if id_ in partitions
        }

    def tally(
        self, stream: Stream, mapping: TableMapping, windows: Sequence[Window], *, exact: bool
    ) -> Sequence[Fingerprint]:
        """Count the rows of windows, all in one reading; with their digests where ``exact``."""
        rows = self.rows(stream, Window(lower=windows[0].lower, upper=windows[-1].upper), mapping)
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
        hot = Counter(self.rows(stream, window, mapping))
        cold = Counter(row for path in paths for row in self._file(path) if window.contains(row.ts))
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
            lost=(_keys(cold) - _keys(hot)).total(),
            hot=fingerprint_of(hot.elements()),
            cold=fingerprint_of(cold.elements()),
        )

    def extent_files(self, stream: Stream, mapping: TableMapping, paths: Sequence[str]) -> Extent:
        """Count the rows of files."""
        del stream, mapping
        times = sorted(row.ts for path in paths for row in self._file(path))
        first, last = (times[0], times[-1]) if times else (None, None)
        return Extent(rows=len(times), bytes=0, first=first, last=last)

    def tally_files(
        self, stream: Stream, mapping: TableMapping, windows: Sequence[Window], paths: Sequence[str]
    ) -> Sequence[Fingerprint]:
        """Return the fingerprint of the files' rows in windows."""
        del stream, mapping
        rows = [row for path in paths for row in self._file(path)]
        return [fingerprint_of(row for row in rows if window.contains(row.ts)) for window in windows]

    def count_files(
        self, stream: Stream, mapping: TableMapping, bounds: Collection[datetime], paths: Sequence[str]
    ) -> Sequence[FilePart]:
        """Count the files' rows by file and stretch."""
        del stream, mapping
        return [part for path in paths for part in file_parts(path, self._file(path), bounds)]

    def tally_every(
        self, stream: Stream, mapping: TableMapping, windows: Sequence[Window], paths: Sequence[str]
    ) -> Sequence[Fingerprint]:
        """Return the fingerprint of all of the files' rows; those outside of the windows count to the last one."""
        found = list(self.tally_files(stream, mapping, windows, paths))
        rows = [row for path in paths for row in self._file(path)]
        found[-1] += fingerprint_of(row for row in rows if not any(window.contains(row.ts) for window in windows))
        return found

    def differing(
        self, stream: Stream, mapping: TableMapping, window: Window, paths: Sequence[str], *, belongs: bool, most: int
    ) -> Differing:
        """Return what differs in a window, with the first ``most`` rows."""
        hot = Counter(self.rows(stream, window, mapping) if belongs else ())
        cold = Counter(row for path in paths for row in self._file(path) if window.contains(row.ts))
        found = sorted((row.ts, row.fingerprint().digest, row) for row in hot | cold if hot[row] != cold[row])
        return Differing(
            missing=(hot - cold).total(),
            surplus=(cold - hot).total(),
            rows=[
                DifferingRow(hash=hash_, instant=instant, hot=hot[row], cold=cold[row], values=row.texts())
                for instant, hash_, row in found[:most]
            ],
        )

    def file_shares(
        self,
        stream: Stream,
        mapping: TableMapping,
        window: Window,
        paths: Sequence[str],
    ) -> Sequence[FileShare]:
        """Return count and digest of each file's rows inside a window and outside."""
        del stream, mapping
        self.check_up()
        shares = []
        for path in paths:
            rows = self._file(path)
            inside = [row for row in rows if window.contains(row.ts)]
            outside = [row for row in rows if not window.contains(row.ts)]
            shares.append(
                FileShare(
                    path=path,
                    inside=fingerprint_of(inside),
                    outside=fingerprint_of(outside),
                    first=min((row.ts for row in inside), default=None),
                    elsewhere=min((row.ts for row in outside), default=None),
                )
            )
        return shares

    def _file(self, path: str) -> list[Row]:
        if path not in self.files:
            raise CheckFailedError(f"the file {path} is not on the store", remedy="write it again")
        return self.files[path]


def _partition(row: Row) -> str:
    return f"{PartitionBy.DAY.floor(row.ts):%Y%m%d}"


def _keys(rows: Counter[Row]) -> Counter[tuple[datetime, int]]:
    """Count rows by their sorting key."""
    found: Counter[tuple[datetime, int]] = Counter()
    for row, times in rows.items():
        found[row.ts, row.seq] += times
    return found


def _within(row: Row, partition: str | None) -> bool:
    return partition is None or _partition(row) == partition
