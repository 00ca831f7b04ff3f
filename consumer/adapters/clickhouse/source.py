"""The hot tier: counts, describes and fingerprints what ClickHouse holds."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from consumer.adapters.clickhouse.bounds import TableBounds, bytes_of, instant_of, row_bytes
from consumer.adapters.clickhouse.client import ClickHouseConnection, Row, load_sql
from consumer.adapters.clickhouse.comparison import FileComparison
from consumer.adapters.clickhouse.counting import FileCounting
from consumer.adapters.clickhouse.descriptions import Descriptions
from consumer.adapters.clickhouse.files import FileReader
from consumer.adapters.clickhouse.partitions import read_spans
from consumer.adapters.clickhouse.replica_watch import ReplicaWatch
from consumer.adapters.clickhouse.steps import bucket_sql, bucket_start
from consumer.adapters.clickhouse.tallies import tally
from consumer.domain.clickhouse_sql import quote_name, read_rows
from consumer.domain.differing import Differing
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.held_rows import FilePart
from consumer.domain.late_query import hot_rows
from consumer.domain.mapping import TableMapping
from consumer.domain.partition_bounds import PartitionBounds
from consumer.domain.reconcile import Difference, PartitionSpan
from consumer.domain.replacement import FileShare
from consumer.domain.stream import Stream, TableName
from consumer.domain.type_mapping import map_table
from consumer.domain.unit_query import (
    READ_SETTINGS,
    fingerprint_query,
    sequence_key,
    unchanged,
    window_condition,
)
from consumer.domain.window import Window
from consumer.ports import Bucket, Extent, SequenceReport, SourceTable, Step, Survey
from consumer.settings.connections import ClickHouseSettings, StoreSettings


class ClickHouseSource:
    """Implements :class:`consumer.ports.Source`; safe to use from several threads.

    Rows are those that :func:`~consumer.domain.clickhouse_sql.read_rows` says: as the parts hold them, or as FINAL
    shows them.
    """

    def __init__(self, settings: ClickHouseSettings, store: StoreSettings) -> None:
        self._connection = ClickHouseConnection(settings, READ_SETTINGS)
        self._files = FileReader(settings, store)
        self._descriptions = Descriptions(self._connection)
        self._replicas = ReplicaWatch(self._connection)
        self._comparison = FileComparison(self._connection, self._files)
        self._counting = FileCounting(self._connection, self._files)

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def now(self) -> datetime:
        """Return the server's time in UTC; see :meth:`Descriptions.now`."""
        return self._descriptions.now()

    def describe(self, table: TableName) -> SourceTable:
        """Describe a table; see :meth:`Descriptions.describe`."""
        return self._descriptions.describe(table)

    def extent(self, stream: Stream, window: Window) -> Extent:
        """Count the rows in a window, with the first and last instant.

        Raises:
            TimeColumnError: if the time column holds an instant outside the years 1900 to 2299.
        """
        time = quote_name(stream.timestamp_column)
        ((rows, first, last),) = self._ask("extent", stream, window, time=time)
        if not rows:
            return Extent(rows=0, bytes=0, first=None, last=None)
        # Bytes per row are those of the whole table: counting them for the window would mean reading it.
        ((size,),) = self._connection.rows(
            f"SELECT {row_bytes(stream)}",
            parameters={"database": stream.source.database, "table": stream.source.table},
        )
        return Extent(
            rows=int(rows),
            bytes=bytes_of(rows, size),
            first=instant_of(stream, int(first)),
            last=instant_of(stream, int(last)),
        )

    def partition_bounds(self, stream: Stream, window: Window, most: int) -> Sequence[PartitionBounds] | None:
        """Return the first ``most`` partitions that reach into a window; see :meth:`TableBounds.partitions`."""
        return self._bounds(stream).partitions(window, most)

    def first(self, stream: Stream, window: Window) -> datetime | None:
        """Return the instant of the first row in a window; see :meth:`TableBounds.first`."""
        return self._bounds(stream).first(window, lambda within: self.extent(stream, within).first)

    def histogram(self, stream: Stream, window: Window, step: Step) -> Sequence[Bucket]:
        """Count the rows in a window by steps of the time column."""
        time = quote_name(stream.timestamp_column)
        buckets = self._ask("histogram", stream, window, time=time, bucket=bucket_sql(step))
        return [
            Bucket(start=bucket_start(step, int(bucket)), rows=int(rows), bytes=bytes_of(rows, size))
            for bucket, rows, size in buckets
        ]

    def sequence_bounds(self, stream: Stream, window: Window, every: int) -> Sequence[tuple[str, ...]]:
        """Return the sequence columns' values at each ``every``-th row of a window."""
        if not stream.sequence_columns:
            return []
        mapping = self._keys(stream)
        by_name = {column.name: column for column in mapping.columns}
        rows = self._ask(
            "sequence_bounds",
            stream,
            window,
            parameters={"every": every},
            keys=", ".join(sequence_key(by_name[name]) for name in stream.sequence_columns),
            columns=", ".join(quote_name(name) for name in stream.sequence_columns),
        )
        return [tuple(str(value) for value in row) for row in rows]

    def fingerprint(
        self, stream: Stream, mapping: TableMapping, window: Window, *, partition: str | None = None
    ) -> Fingerprint:
        """Return count and full-row digest of the rows in a window, and in a partition where one is named."""
        rows = hot_rows(stream, mapping, window, partition)
        ((count, digest),) = self._connection.rows(fingerprint_query(mapping, rows))
        return Fingerprint(rows=int(count), digest=int(digest))

    def fingerprint_files(self, mapping: TableMapping, paths: Sequence[str]) -> Fingerprint:
        """Return count and full-row digest of data files.

        Raises:
            StoreUnavailableError: if ClickHouse does not reach the store.
            AccessDeniedError: if the store's key or the user's grants do not allow it.
            CheckFailedError: if a file is missing, damaged, or has other columns.
        """
        return self._counting.fingerprint(mapping, paths)

    def sequence_report(self, stream: Stream, window: Window) -> SequenceReport:
        """Report repeated values and gaps of the sequence columns; see :class:`consumer.ports.SequenceReport`.

        Needs memory on the server for every distinct value.
        """
        if not stream.sequence_columns:
            return SequenceReport(repeated=0, gaps=None)
        *groups, last = stream.sequence_columns
        types = {column.name: column.source_type for column in self._keys(stream).columns}
        whole = re.fullmatch(r"(LowCardinality\()?U?Int(8|16|32|64)\)?", types[last]) is not None
        number = quote_name(last) if whole else "0"
        ((repeated, gaps),) = self._ask(
            "sequence_report",
            stream,
            window,
            groups=f"tuple({', '.join(quote_name(name) for name in groups)})" if groups else "''",
            last=quote_name(last),
            number=f"toInt128({number})",
        )
        return SequenceReport(repeated=int(repeated), gaps=int(gaps) if whole else None)

    def difference(
        self,
        stream: Stream,
        mapping: TableMapping,
        windows: Sequence[Window],
        paths: Sequence[str],
        *,
        partition: str | None = None,
    ) -> tuple[int, int]:
        """Return how many rows of disjoint windows are in the table only, and in the data files only.

        Where a partition is named, its rows alone. Unlike a fingerprint this needs memory for every distinct row hash
        on the server.
        """
        return self._comparison.counted(stream, mapping, windows, paths, partition)

    def survey(self, stream: Stream) -> Survey:
        """Return contents and description of the source by one query; of a cluster, partitions by shard and id.

        Raises:
            SourceUnavailableError: if a replica that would be read is behind.
        """
        self._replicas.begin(stream)
        found = self._descriptions.survey(stream.source)
        self._replicas.confirm(stream)
        return found

    def spans(self, stream: Stream, partitions: Collection[str], watermark: datetime) -> Mapping[str, PartitionSpan]:
        """Return first and last instant of partitions, and their rows at or above ``watermark``."""
        found = read_spans(self._connection, stream, self._keys(stream), partitions, watermark)
        self._replicas.confirm(stream)
        return found

    def tally(
        self, stream: Stream, mapping: TableMapping, windows: Sequence[Window], *, exact: bool
    ) -> Sequence[Fingerprint]:
        """Count the rows of contiguous windows; with their digests where ``exact``."""
        found = tally(self._connection, stream, mapping, windows, exact=exact)
        self._replicas.confirm(stream)
        return found

    def late_rows(
        self,
        stream: Stream,
        mapping: TableMapping,
        window: Window,
        paths: Sequence[str],
        *,
        not_before: datetime | None = None,
    ) -> Difference:
        """Return the multiset difference of a window's rows; see :class:`consumer.ports.Source`."""
        key = self._descriptions.last(stream.source).sorting_key
        found = self._comparison.difference(stream, mapping, window, paths, not_before=not_before, sorting_key=key)
        self._replicas.confirm(stream)
        return found

    def extent_files(self, stream: Stream, mapping: TableMapping, paths: Sequence[str]) -> Extent:
        """Count the rows of data files, with the first and last instant."""
        return self._counting.extent(stream, mapping, paths)

    def tally_files(
        self, stream: Stream, mapping: TableMapping, windows: Sequence[Window], paths: Sequence[str]
    ) -> Sequence[Fingerprint]:
        """Return count and digest of the files' rows in contiguous windows."""
        return self._counting.tally(stream, mapping, windows, paths)

    def count_files(
        self, stream: Stream, mapping: TableMapping, bounds: Collection[datetime], paths: Sequence[str]
    ) -> Sequence[FilePart]:
        """Count the files' rows by file and stretch; see :meth:`consumer.service.adoption.ports.FileSource`."""
        return self._counting.parts(stream, mapping, bounds, paths)

    def tally_every(
        self, stream: Stream, mapping: TableMapping, windows: Sequence[Window], paths: Sequence[str]
    ) -> Sequence[Fingerprint]:
        """Return count and digest of all of the files' rows; those outside of the windows count to the last one."""
        return self._counting.tally_every(stream, mapping, windows, paths)

    def differing(
        self, stream: Stream, mapping: TableMapping, window: Window, paths: Sequence[str], *, belongs: bool, most: int
    ) -> Differing:
        """Return what differs in a window, with rows; see :class:`consumer.service.verifying.ports.VerifiedSource`."""
        found = self._comparison.differing(stream, mapping, window, paths, belongs=belongs, most=most)
        self._replicas.confirm(stream)
        return found

    def file_shares(
        self, stream: Stream, mapping: TableMapping, window: Window, paths: Sequence[str]
    ) -> Sequence[FileShare]:
        """Return count and digest of each file's rows inside a window and outside."""
        return self._counting.shares(stream, mapping, window, paths)

    def _ask(
        self,
        statement: str,
        stream: Stream,
        window: Window,
        *,
        parameters: Mapping[str, str | int] | None = None,
        **parts: str,
    ) -> Sequence[Row]:
        """Run a statement over the rows of a window."""
        mapping = self._keys(stream)
        return self._connection.rows(
            load_sql(
                statement,
                table=read_rows(stream),
                window=f"{window_condition(stream, mapping, window)} AND {unchanged(stream, mapping)}",
                row_bytes=row_bytes(stream),
                **parts,
            ),
            parameters={"database": stream.source.database, "table": stream.source.table, **(parameters or {})},
        )

    def _bounds(self, stream: Stream) -> TableBounds:
        table = self._descriptions.last(stream.source)
        return TableBounds(connection=self._connection, stream=stream, keys=self._keys(stream), table=table)

    def _keys(self, stream: Stream) -> TableMapping:
        """Map the time column and the sequence columns as they were described last."""
        described = self._descriptions.last(stream.source)
        names = {stream.timestamp_column, *stream.sequence_columns}
        return map_table(
            [column for column in described.columns if column.name in names],
            timestamp_column=stream.timestamp_column,
            sequence_columns=stream.sequence_columns,
            chosen={name: choice for name, choice in stream.columns if name in names},
            source_uuid=described.uuid,
        )
