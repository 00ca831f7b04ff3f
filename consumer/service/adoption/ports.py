"""What an adoption asks of data files, besides what a source does."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from consumer.domain.fingerprint import Fingerprint
from consumer.domain.held_rows import FilePart
from consumer.domain.mapping import TableMapping
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.ports import Extent, Source


class FileSource(Source, Protocol):
    """The hot tier, which also counts what stands in data files."""

    def extent_files(self, stream: Stream, mapping: TableMapping, paths: Sequence[str]) -> Extent:
        """Count the rows of data files, with the first and last instant; their bytes are not counted."""
        ...

    def tally_files(
        self, stream: Stream, mapping: TableMapping, windows: Sequence[Window], paths: Sequence[str]
    ) -> Sequence[Fingerprint]:
        """Return count and digest of the files' rows in windows that are contiguous and ascending."""
        ...

    def count_files(
        self, stream: Stream, mapping: TableMapping, bounds: Collection[datetime], paths: Sequence[str]
    ) -> Sequence[FilePart]:
        """Count each file's rows from one bound to the next, and by day (UTC); each file is read once."""
        ...
