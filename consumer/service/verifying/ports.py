"""What a verification asks of ClickHouse, besides what a source does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from consumer.domain.differing import Differing
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.service.adoption.ports import FileSource


class VerifiedSource(FileSource, Protocol):
    """The hot tier, which also counts what stands in data files, and tells which rows differ."""

    def tally_every(
        self, stream: Stream, mapping: TableMapping, windows: Sequence[Window], paths: Sequence[str]
    ) -> Sequence[Fingerprint]:
        """Return count and digest of all of the files' rows in windows that are contiguous and ascending.

        Rows outside of all windows, wherever they come from, count to the last one.
        """
        ...

    def differing(
        self, stream: Stream, mapping: TableMapping, window: Window, paths: Sequence[str], *, belongs: bool, most: int
    ) -> Differing:
        """Return the multiset difference of a window's rows, table against data files, by full-row hash.

        Args:
            stream: whose table it is.
            mapping: how its columns are mapped.
            window: the stretch of time.
            paths: data files, which may hold rows of other windows; these are left out.
            belongs: whether the table's rows are compared at all; without, every row of the files is one too many.
            most: how many of the rows themselves are returned, with how often each tier holds them.
        """
        ...
