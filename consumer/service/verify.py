"""Verification: do both tiers hold the same multiset of rows below the watermark, or in a range of it?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from consumer.domain.backfill import covered
from consumer.domain.differing import DifferingRow
from consumer.domain.errors import ConfigurationError, LedgerUnavailableError, TargetMissingError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.reconcile import RecordedWindow
from consumer.domain.slices import DroppedRows, check_range, slices_of
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING, EVER, Window
from consumer.ports import Catalog, Ledger, SequenceReport, StreamRecord, TargetTable
from consumer.service.prepare import Preparation
from consumer.service.verifying.comparing import PLAINLY, Reading, SliceComparison, SliceDifference
from consumer.service.verifying.ports import VerifiedSource

_SEQUENCE_ROWS_MAX = 50_000_000
"""Above this, sequence columns are not reported on: ClickHouse would need memory for every distinct value."""

_NO_SEQUENCE = SequenceReport(repeated=0, gaps=None)

_LOOKS = 5
"""How often a stream is looked at anew because something was published during the look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The fingerprints of both tiers below the watermark and in a range, and how many rows differ.

    ``missing`` rows stand in the hot tier only, ``surplus`` rows in the cold tier only, both counted with
    multiplicity by full-row hash; rows that `icehaul drop-hot` has ``dropped`` count as if they were still in the hot
    tier, by the fingerprints that the ledger keeps of them. ``slices`` is in how many stretches of time this was
    compared, ``differences`` are those that differ, and ``rows`` are some of the differing rows. ``sequence`` reports
    on the hot rows of the last stretch without a gap, and does not enter the verdict; ``None`` where there are so many
    that the server would have to remember too much.
    """

    stream: str
    watermark: datetime
    within: Window
    hot: Fingerprint
    dropped: Fingerprint
    cold: Fingerprint
    snapshot_id: int | None
    sequence: SequenceReport | None
    slices: int
    differences: Sequence[SliceDifference]

    @property
    def missing(self) -> int:
        """How many rows stand in the hot tier only."""
        return sum(one.missing for one in self.differences)

    @property
    def surplus(self) -> int:
        """How many rows stand in the cold tier only."""
        return sum(one.surplus for one in self.differences)

    @property
    def rows(self) -> Sequence[DifferingRow]:
        """Some of the rows that differ, the earliest first."""
        return [row for one in self.differences for row in one.rows]

    @property
    def equal(self) -> bool:
        """Whether both tiers hold the same multiset of rows.

        Of what was dropped before a column was, only the count can be compared.
        """
        return self.hot.rows + self.dropped.rows == self.cold.rows and not self.differences


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is compared: a stream as ledger and catalog have it at one moment.

    ``paths`` are the live data files that may hold rows of the range ``within``, ``dropped`` is what has left the hot
    tier on purpose.
    """

    stream: Stream
    record: StreamRecord | None
    windows: Sequence[RecordedWindow]
    target: TargetTable | None
    paths: Sequence[str]
    dropped: Sequence[DroppedRows]
    within: Window = EVER

    @property
    def watermark(self) -> datetime:
        """Up to where rows were read."""
        return BEGINNING if self.record is None or self.record.unread else self.record.watermark

    @property
    def covered(self) -> Sequence[Window]:
        """The stretches whose rows belong into the cold tier; below the start, the windows that were backfilled."""
        if self.record is None:
            return []
        done = [one.window for one in self.windows]
        return covered(done, start=self.record.start, watermark=self.record.watermark)

    @property
    def inside(self) -> Sequence[Window]:
        """The parts of these stretches that lie in the range."""
        found = [
            (max(one.lower, self.within.lower), min(one.upper, self.within.upper))
            for one in self.covered
            if one.lower < self.within.upper and self.within.lower < one.upper
        ]
        return [Window(lower=lower, upper=upper) for lower, upper in found]

    @classmethod
    def take(
        cls,
        stream: Stream,
        within: Window,
        *,
        ledger: Ledger,
        catalog: Catalog,
        dropped: Callable[[str], Sequence[DroppedRows]],
    ) -> Self:
        """Look at a stream until nothing was published during the look.

        Raises:
            TargetMissingError: if rows were offloaded, but the target is gone.
            ConfigurationError: if the range cuts through what was dropped from the hot tier.
            LedgerUnavailableError: if something was published during every look.
            StreamError, TransientError: as ledger and catalog raise them.
        """
        for _ in range(_LOOKS):
            record = ledger.read([stream.name]).get(stream.name)
            target = catalog.inspect(stream.target)
            if target is None and record is not None and record.target_uuid is not None:
                raise TargetMissingError(
                    f"stream {stream.name}: target {stream.target} does not exist, but the ledger knows it",
                    remedy="restore the table in the catalog; see `icehaul status` for what the ledger has recorded",
                )
            look = cls(
                stream=stream,
                record=record,
                windows=[] if record is None else ledger.windows(stream.name, EVER),
                target=target,
                paths=[] if target is None else _paths(catalog, stream, within),
                dropped=dropped(stream.name),
                within=within,
            )
            again = ledger.read([stream.name]).get(stream.name)
            if record is None or (again is not None and again.position == record.position):
                check_range(stream.name, within, look.dropped)
                return look
        raise LedgerUnavailableError(
            f"stream {stream.name}: batches were published faster than they could be looked at, {_LOOKS} times",
            remedy="verify the stream while less is written, or on a machine nearer to Postgres and the store",
        )


def _paths(catalog: Catalog, stream: Stream, within: Window) -> Sequence[str]:
    return catalog.data_files(stream.target, stream.partition_by, None if within == EVER else within)


class Verifier:
    """Compares hot and cold tier, all computed by ClickHouse on both sides.

    ``dropped`` returns what was dropped from a stream's source.
    """

    def __init__(
        self,
        *,
        source: VerifiedSource,
        ledger: Ledger,
        catalog: Catalog,
        dropped: Callable[[str], Sequence[DroppedRows]],
    ) -> None:
        self._dropped = dropped
        self._source = source
        self._ledger = ledger
        self._catalog = catalog
        self._preparation = Preparation(source=source, ledger=ledger, catalog=catalog)

    def verify(self, stream: Stream, within: Window = EVER, reading: Reading = PLAINLY) -> Verification:
        """Compare every row below the stream's watermark, or those of a range.

        Raises:
            TargetMissingError: if rows were offloaded, but the target is gone.
            ConfigurationError: if the range cuts through what was dropped from the hot tier, or nothing of it was read.
            StreamError, TransientError: as the source and the catalog raise them.
        """
        look = self.look(stream, within)
        return self.compare(look, reading)

    def look(self, stream: Stream, within: Window) -> Look:
        """Look at a stream, for a range or for all of it.

        Raises:
            ConfigurationError: if nothing of the range was read yet.
            TargetMissingError, StreamError, TransientError: as :meth:`Look.take` raises them.
        """
        look = Look.take(stream, within, ledger=self._ledger, catalog=self._catalog, dropped=self._dropped)
        if within != EVER and not look.inside:
            raise ConfigurationError(
                f"--from, --to: nothing of {within} was offloaded yet; stream {stream.name} is done up to"
                f" {look.watermark.isoformat()}",
                remedy="name a range below the watermark; see: icehaul status",
            )
        return look

    def dropped(self, stream: Stream) -> Sequence[DroppedRows]:
        """Return what was dropped from a stream's source."""
        return self._dropped(stream.name)

    def compare(self, look: Look, reading: Reading = PLAINLY) -> Verification:
        """Compare the rows of a look, slice by slice.

        Below the start the windows that are done tell what was backfilled.

        Raises:
            StreamError, TransientError: as the source raises them.
        """
        stream, record, inside = look.stream, look.record, look.inside
        if record is None or not look.covered:
            return _nothing(look)
        _, mapping = self._preparation.read_source(stream, record)
        slices = slices_of(look.within, covered=look.covered, recorded=look.windows, dropped=look.dropped)
        comparison = SliceComparison(self._source, stream, mapping, reading)
        found = comparison.compare(slices, look.target, look.paths, every=look.within == EVER)
        return Verification(
            stream=stream.name,
            watermark=look.watermark,
            within=look.within,
            hot=found.hot,
            dropped=sum((one.dropped for one in slices), EMPTY),
            cold=found.cold,
            snapshot_id=None if look.target is None else look.target.snapshot_id,
            sequence=self._sequence(stream, inside[-1] if inside else None, found.hot),
            slices=len(slices),
            differences=found.differences,
        )

    def _sequence(self, stream: Stream, stretch: Window | None, hot: Fingerprint) -> SequenceReport | None:
        if stretch is None or not stream.sequence_columns:
            return _NO_SEQUENCE
        return None if hot.rows > _SEQUENCE_ROWS_MAX else self._source.sequence_report(stream, stretch)


def _nothing(look: Look) -> Verification:
    return Verification(
        stream=look.stream.name,
        watermark=look.watermark,
        within=look.within,
        hot=EMPTY,
        dropped=EMPTY,
        cold=EMPTY,
        snapshot_id=None,
        sequence=_NO_SEQUENCE,
        slices=0,
        differences=(),
    )
