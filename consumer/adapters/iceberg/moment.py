"""Ledger and catalog at one moment: watermarks, and the tables as they stood when those were true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

from consumer.adapters.iceberg.evidence import read_ancestry
from consumer.adapters.iceberg.healing import landed_in
from consumer.adapters.iceberg.placement import Placement
from consumer.adapters.iceberg.rows import CatalogRows
from consumer.adapters.iceberg.target import Base, Bases
from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.intents import Intent, unsettled
from consumer.adapters.postgres.publishing import read_streams
from consumer.domain.errors import CatalogUnavailableError, DivergenceError
from consumer.domain.stream import Stream
from consumer.ports import StreamRecord

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A stream's record and its target, of the same moment; ``None`` where there is none yet."""

    record: StreamRecord | None
    base: Base | None


class Moments(Protocol):
    """Reads several streams, each with its table as it stood when the record was true."""

    def read(self, streams: Sequence[Stream]) -> Mapping[str, Standing]:
        """Return where the streams stand now.

        Raises:
            DivergenceError: if the catalog points to a metadata file that the store does not hold.
            AccessDeniedError, StoreUnavailableError, CatalogUnavailableError, LedgerUnavailableError: if something
                can't be read.
        """
        ...

    def locations(self, streams: Sequence[Stream]) -> Mapping[str, tuple[StreamRecord | None, str | None]]:
        """Return every stream's record, and where its table's metadata lies; reads no metadata file."""
        ...


def moments_of(database: Database, placement: Placement) -> Moments:
    """Return what reads ledger and catalog together, wherever the catalog lies."""
    if placement.ledger_rows is not None:
        return OneMoment(placement.ledger_rows, placement.bases)
    return FollowingMoments(database, placement.bases)


class OneMoment:
    """Where the catalog is in the ledger's database: no publish lies between any two of the answers."""

    def __init__(self, rows: CatalogRows, bases: Bases) -> None:
        self._rows = rows
        self._bases = bases

    def read(self, streams: Sequence[Stream]) -> Mapping[str, Standing]:
        """Return where the streams stand now; see :meth:`Moments.read`."""
        for attempt in range(_ATTEMPTS):
            together = self._rows.together(streams)
            try:
                return {stream.name: self._standing(stream, *together[stream.name]) for stream in streams}
            except DivergenceError:
                # Publishes that came meanwhile may have retired the file; one that is still pointed to is missing.
                if attempt == _ATTEMPTS - 1 or self._rows.together(streams) == together:
                    raise
        raise AssertionError

    def locations(self, streams: Sequence[Stream]) -> Mapping[str, tuple[StreamRecord | None, str | None]]:
        """Return records and locations of one moment; see :meth:`Moments.locations`."""
        return self._rows.together(streams)

    def _standing(self, stream: Stream, record: StreamRecord | None, location: str | None) -> Standing:
        return Standing(record=record, base=None if location is None else self._bases.at(stream.target, location))


class FollowingMoments:
    """Where the catalog is elsewhere: the ledger is read before and after the table, and has to be the same.

    What is in the table, and not recorded yet, counts as recorded: the ledger follows the table.
    """

    def __init__(self, database: Database, bases: Bases) -> None:
        self._database = database
        self._bases = bases

    def read(self, streams: Sequence[Stream]) -> Mapping[str, Standing]:
        """Return where the streams stand now, one after the other; see :meth:`Moments.read`."""
        return {stream.name: self._one(stream) for stream in streams}

    def locations(self, streams: Sequence[Stream]) -> Mapping[str, tuple[StreamRecord | None, str | None]]:
        """Return records and locations; see :meth:`Moments.locations`."""
        return {
            name: (standing.record, None if standing.base is None else standing.base.location)
            for name, standing in self.read(streams).items()
        }

    def _one(self, stream: Stream) -> Standing:
        for _ in range(_ATTEMPTS):
            record, intents = self._recorded(stream)
            base = self._bases.load(stream.target)
            again, still = self._recorded(stream)
            if _same(record, again) and intents == still:
                return Standing(record=_following(record, base, intents), base=base)
        raise CatalogUnavailableError(
            f"stream {stream.name}: batches were published {_ATTEMPTS} times while ledger and table were read",
            remedy="nothing to do: it is tried again",
        )

    def _recorded(self, stream: Stream) -> tuple[StreamRecord | None, list[Intent]]:
        with self._database.transaction(repeatable=True) as connection:
            return read_streams(connection, [stream.name]).get(stream.name), unsettled(connection, [stream.name])


def _same(one: StreamRecord | None, other: StreamRecord | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.watermark, one.progress) == (other.watermark, other.progress)


def _following(record: StreamRecord | None, base: Base | None, intents: Sequence[Intent]) -> StreamRecord | None:
    if record is None or base is None or not intents:
        return record
    landed = landed_in(base.metadata, read_ancestry(base.metadata).evidence, intents)
    batches = [one.landing.batch for one in intents if one.snapshot_id in landed]
    return reduce(StreamRecord.after, batches, record)
