"""Counting the rows of data files: of all of them, by window, and by file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from consumer.adapters.clickhouse.client import ClickHouseConnection, Row, load_sql
from consumer.adapters.clickhouse.comparison import COMPARISON_SETTINGS
from consumer.adapters.clickhouse.errors import file_error
from consumer.adapters.clickhouse.files import FILE_PATH, FileReader, chunked, hides_files
from consumer.adapters.clickhouse.tallies import by_window, in_portions, spanned, tally_query
from consumer.domain.clickhouse_sql import quote_text
from consumer.domain.errors import CheckFailedError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.held_rows import FilePart
from consumer.domain.late_query import cold_rows, file_instants, file_rows_by_window, located_rows
from consumer.domain.mapping import TableMapping
from consumer.domain.replacement import FileShare
from consumer.domain.stream import Stream
from consumer.domain.time_type import from_micros, to_micros
from consumer.domain.unit_query import file_fingerprint_query, file_rows, file_structure
from consumer.domain.window import BEGINNING, Window
from consumer.ports import Extent


class FileCounting:
    """Counts what stands in data files, all computed by ClickHouse."""

    def __init__(self, connection: ClickHouseConnection, files: FileReader) -> None:
        self._connection = connection
        self._files = files

    def fingerprint(self, mapping: TableMapping, paths: Sequence[str]) -> Fingerprint:
        """Return count and digest of all rows of data files."""
        structure = file_structure(mapping)
        total = EMPTY
        for chunk in chunked([file_rows(mapping, self._files.source(path, structure)) for path in paths]):
            ((count, digest),) = self._ask(file_fingerprint_query(mapping, chunk))
            total += Fingerprint(rows=int(count), digest=int(digest))
        return total

    def extent(self, stream: Stream, mapping: TableMapping, paths: Sequence[str]) -> Extent:
        """Count the rows of data files, with the first and last instant."""
        structure = file_structure(mapping)
        rows, first, last = 0, None, None
        for _, source in self._files.sources(paths, structure):
            instants = file_instants(stream, mapping, source)
            ((count, lowest, greatest),) = self._ask(load_sql("files_extent", rows=instants))
            if int(count):
                lower, upper = from_micros(int(lowest)), from_micros(int(greatest))
                first = lower if first is None else min(first, lower)
                last = upper if last is None else max(last, upper)
                rows += int(count)
        return Extent(rows=rows, bytes=0, first=first, last=last)

    def tally(
        self, stream: Stream, mapping: TableMapping, windows: Sequence[Window], paths: Sequence[str]
    ) -> Sequence[Fingerprint]:
        """Return count and digest of the files' rows in windows that are contiguous and ascending."""
        return in_portions(windows, lambda some: self._tally(stream, mapping, some, paths, every=False))

    def tally_every(
        self, stream: Stream, mapping: TableMapping, windows: Sequence[Window], paths: Sequence[str]
    ) -> Sequence[Fingerprint]:
        """Return count and digest of all of the files' rows; those outside of the windows count to the last one."""
        return self._tally(stream, mapping, windows, paths, every=True)

    def _tally(
        self, stream: Stream, mapping: TableMapping, windows: Sequence[Window], paths: Sequence[str], *, every: bool
    ) -> list[Fingerprint]:
        structure = file_structure(mapping)
        total = [EMPTY] * len(windows)
        for _, source in self._files.sources(paths, structure):
            rows = file_rows(mapping, source) if every else cold_rows(stream, mapping, spanned(windows), source)
            found = self._ask(tally_query(stream, windows, f"({rows})", mapping.file_digest_sql()))
            total = [one + other for one, other in zip(total, by_window(found, windows), strict=True)]
        return total

    def parts(
        self, stream: Stream, mapping: TableMapping, bounds: Collection[datetime], paths: Sequence[str]
    ) -> list[FilePart]:
        """Return what each file holds between the bounds, and by day; reads each file once."""
        structure = file_structure(mapping)
        lowest = min((BEGINNING, *bounds))
        instants = [to_micros(bound) for bound in sorted({lowest, *bounds})]
        groups = (
            (([path], self._files.source(path, structure)) for path in paths)
            if hides_files(mapping)
            else self._files.sources(paths, structure)
        )
        found: list[FilePart] = []
        for files, source in groups:
            by_key = {path.partition("://")[2]: path for path in files}
            named = quote_text(next(iter(by_key))) if len(files) == 1 else FILE_PATH
            rows = self._ask(
                load_sql(
                    "file_parts",
                    bounds=f"CAST({instants} AS Array(Int64))",
                    rows=located_rows(stream, mapping, source, named),
                )
            )
            found += [_part(by_key, row) for row in rows]
        return found

    def shares(
        self, stream: Stream, mapping: TableMapping, window: Window, paths: Sequence[str]
    ) -> Sequence[FileShare]:
        """Return count and digest of each file's rows inside of a window and outside, in the order of ``paths``."""
        if not paths:
            return []
        structure = file_structure(mapping)
        queries = [
            file_rows_by_window(stream, mapping, window, self._files.source(path, structure), number)
            for number, path in enumerate(paths)
        ]
        found = {
            (int(number), bool(inside)): (Fingerprint(rows=int(rows), digest=int(digest)), from_micros(int(first)))
            for number, inside, rows, digest, first in self._ask(
                load_sql("file_shares", rows=" UNION ALL ".join(queries))
            )
        }
        shares = []
        for number, path in enumerate(paths):
            inside, first = found.get((number, True), (EMPTY, None))
            outside, elsewhere = found.get((number, False), (EMPTY, None))
            shares.append(FileShare(path=path, inside=inside, outside=outside, first=first, elsewhere=elsewhere))
        return shares

    def _ask(self, query: str) -> Sequence[Row]:
        return self._connection.rows(
            query, settings=COMPARISON_SETTINGS, secrets=self._files.secrets, meaning=file_error
        )


def _part(by_key: Mapping[str, str], row: Row) -> FilePart:
    key, bound, rows, digest, first, last = row
    if key not in by_key:
        raise CheckFailedError(
            f"ClickHouse tells of rows of {key}, a file that it was not asked for",
            remedy="correct clickhouse.store_endpoint, if it names another store than store.endpoint",
        )
    return FilePart(
        path=by_key[key],
        lower=from_micros(int(bound)),
        fingerprint=Fingerprint(rows=int(rows), digest=int(digest)),
        first=from_micros(int(first)),
        last=from_micros(int(last)),
    )
