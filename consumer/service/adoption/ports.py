"""What an adoption asks of data files, besides what a source does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from consumer.domain.fingerprint import Fingerprint
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
