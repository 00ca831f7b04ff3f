"""Ledger and catalog at one moment: watermarks, and the tables as they stood when those were true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from consumer.adapters.iceberg.rows import CatalogRows
from consumer.adapters.iceberg.target import Base, Bases
from consumer.domain.errors import DivergenceError
from consumer.domain.stream import Stream
from consumer.ports import StreamRecord

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A stream's record and its target, of the same moment; ``None`` where there is none yet."""

    record: StreamRecord | None
    base: Base | None


class Moments:
    """Reads several streams so that no publish lies between any two of the answers."""

    def __init__(self, rows: CatalogRows, bases: Bases) -> None:
        self._rows = rows
        self._bases = bases

    def read(self, streams: Sequence[Stream]) -> Mapping[str, Standing]:
        """Return where the streams stand now.

        Raises:
            DivergenceError: if the catalog points to a metadata file that the store does not hold.
            AccessDeniedError, StoreUnavailableError, LedgerUnavailableError: if something can't be read.
        """
        for attempt in range(_ATTEMPTS):
            together = self._rows.together(streams)
            try:
                return {stream.name: self._standing(stream, *together[stream.name]) for stream in streams}
            except DivergenceError:
                # Publishes that came meanwhile may have retired the file; one that is still pointed to is missing.
                if attempt == _ATTEMPTS - 1 or self._rows.together(streams) == together:
                    raise
        raise AssertionError

    def _standing(self, stream: Stream, record: StreamRecord | None, location: str | None) -> Standing:
        return Standing(record=record, base=None if location is None else self._bases.at(stream.target, location))
