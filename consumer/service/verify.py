"""Verification: do both tiers hold the same multiset of rows below the watermark?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from consumer.domain.backfill import covered
from consumer.domain.errors import TargetMissingError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING, EVER, Window
from consumer.ports import Catalog, Ledger, SequenceReport, Source, StreamRecord
from consumer.service.prepare import Preparation


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The fingerprints of both tiers below the watermark, and how many rows differ.

    ``missing`` rows stand in the hot tier only, ``surplus`` rows in the cold tier only, both counted with
    multiplicity by full-row hash; rows that `icehaul drop-hot` has ``dropped`` count as if they were still in the hot
    tier, by the fingerprints that the ledger keeps of them. ``sequence`` reports on the hot rows of the last stretch
    without a gap, and does not enter the verdict.
    """

    stream: str
    watermark: datetime
    hot: Fingerprint
    dropped: Fingerprint
    cold: Fingerprint
    missing: int
    surplus: int
    snapshot_id: int | None
    sequence: SequenceReport

    @property
    def equal(self) -> bool:
        """Whether both tiers hold the same multiset of rows."""
        return self.hot + self.dropped == self.cold and self.missing == 0 and self.surplus == 0


class Verifier:
    """Compares hot and cold tier, all computed by ClickHouse on both sides.

    ``dropped`` returns the fingerprint of what was dropped from a stream's source.
    """

    def __init__(
        self, *, source: Source, ledger: Ledger, catalog: Catalog, dropped: Callable[[str], Fingerprint]
    ) -> None:
        self._dropped = dropped
        self._source = source
        self._ledger = ledger
        self._catalog = catalog
        self._preparation = Preparation(source=source, ledger=ledger, catalog=catalog)

    def verify(self, stream: Stream) -> Verification:
        """Compare every row below the stream's watermark.

        Raises:
            TargetMissingError: if rows were offloaded, but the target is gone.
            StreamError, TransientError: as the source and the catalog raise them.
        """
        record = self._ledger.read([stream.name]).get(stream.name)
        target = self._catalog.inspect(stream.target)
        if target is None and record is not None and record.target_uuid is not None:
            raise TargetMissingError(
                f"stream {stream.name}: target {stream.target} does not exist, but the ledger knows it",
                remedy="restore the table in the catalog; see `icehaul status` for what the ledger has recorded",
            )
        done = [] if record is None else [one.window for one in self._ledger.windows(stream.name, EVER)]
        paths: Sequence[str] = ()
        if target is not None and done:
            paths = self._catalog.data_files(stream.target, stream.partition_by, None)
        snapshot_id = target.snapshot_id if target is not None else None
        return self.compare(stream, record, done, paths, snapshot_id=snapshot_id)

    def compare(
        self,
        stream: Stream,
        record: StreamRecord | None,
        done: Sequence[Window],
        paths: Sequence[str],
        *,
        snapshot_id: int | None,
    ) -> Verification:
        """Compare every row from the start to the watermark with those in data files, the live ones of a snapshot.

        Below the start the windows that are ``done`` tell what was backfilled.

        Raises:
            StreamError, TransientError: as the source raises them.
        """
        watermark = BEGINNING if record is None or record.unread else record.watermark
        found = [] if record is None else covered(done, start=record.start, watermark=record.watermark)
        if not found:
            return Verification(
                stream=stream.name,
                watermark=watermark,
                hot=EMPTY,
                dropped=EMPTY,
                cold=EMPTY,
                missing=0,
                surplus=0,
                snapshot_id=None,
                sequence=SequenceReport(repeated=0, gaps=None),
            )
        _, mapping = self._preparation.read_source(stream, record)
        hot = sum((self._source.fingerprint(stream, mapping, stretch) for stretch in found), EMPTY)
        cold = self._source.fingerprint_files(mapping, paths) if paths else EMPTY
        missing = surplus = 0
        dropped = self._dropped(stream.name)
        if hot + dropped != cold:
            missing, surplus = self._source.difference(stream, mapping, found, paths)
            surplus = max(surplus - dropped.rows, 0)
        return Verification(
            stream=stream.name,
            watermark=watermark,
            hot=hot,
            dropped=dropped,
            cold=cold,
            missing=missing,
            surplus=surplus,
            snapshot_id=snapshot_id,
            sequence=self._source.sequence_report(stream, found[-1]),
        )
