"""One look at a stream that is to be rewound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from consumer.domain.batch import Rewind
from consumer.domain.divergence import held_otherwise, repair_command
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.phrasing import instant_text
from consumer.domain.reconcile import Difference
from consumer.domain.rewind import check_chain, compared_before, left_findings, pending_partitions, pieces
from consumer.domain.stream import Stream
from consumer.domain.window import MICROSECOND, Window
from consumer.ports import Catalog, Ledger, SourceTable, StreamRecord
from consumer.service.adoption.ports import FileSource
from consumer.service.replacing.doubt import Doubt, Exchange, doubt_about
from consumer.service.retention import look_ahead
from consumer.service.rewinding.dependants import Lineage
from consumer.service.rewinding.examined import INSIST, Examined, Removal, Verdict, Wish
from consumer.service.rewinding.files import FileTaker
from consumer.service.rewinding.ports import RewindLedger

_NO_DIFFERENCE = Difference(late=(), missing=0, refused=0, surplus=0, lost=0, hot=EMPTY, cold=EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiers:
    """What is looked at; ``dropped`` are the stretches of time that `icehaul drop-hot` has dropped rows of."""

    source: FileSource
    ledger: Ledger
    rewinds: RewindLedger
    catalog: Catalog
    dropped: Callable[[str], Sequence[Window]]
    lineage: Lineage


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The stream, with what its record and its source are at this moment, and what is wished."""

    stream: Stream
    record: StreamRecord
    described: SourceTable
    mapping: TableMapping
    wish: Wish


class Look:
    """One look at a stream; what is found on the way is shared by its steps."""

    def __init__(self, tiers: Tiers, seen: Seen) -> None:
        self._tiers = tiers
        self._source = tiers.source
        self._stream = stream = seen.stream
        self._mapping = seen.mapping
        self._seen = seen
        record, wish = seen.record, seen.wish
        self._rest = Window(lower=wish.to, upper=record.watermark)
        # What goes from the source after this is missed by the next event.
        contents = self._source.survey(stream).contents
        spans = self._source.spans(stream, list(contents), wish.to) if contents else {}
        recorded = tiers.ledger.partitions(stream.name)
        self._partitions = pending_partitions(recorded, contents, spans, wish.to)
        self._windows = tiers.ledger.windows(stream.name, self._rest)
        check_chain(stream.name, self._windows, self._rest)
        self._since = self._windows[0].window.lower
        below = Window(lower=min(self._since, wish.to - MICROSECOND), upper=wish.to)
        self._compared = compared_before(recorded, contents, spans, below)
        self._paths: Sequence[str] = ()
        if record.target_uuid is not None:
            around = Window(lower=self._since, upper=record.watermark)
            self._paths = tiers.catalog.data_files(stream.target, stream.partition_by, around)

    def examined(self) -> Examined:
        """Compare the tiers from the instant on, and tell what a rewind would do.

        Raises:
            DivergenceError: if ledger and table do not hold the same rows of the windows concerned.
            StreamError, TransientError: as source, ledger and catalog raise them.
        """
        wish, record = self._seen.wish, self._seen.record
        bounds = pieces(self._windows, wish.to)
        cold = self._cold(bounds)
        hot = self._source.tally(self._stream, self._mapping, bounds, exact=True)
        compared = list(zip(bounds, cold, hot, strict=True))
        kept = compared[0] if self._since < wish.to else None
        removals = [self._removal(*one) for one in (compared if kept is None else compared[1:])]
        below = None if kept is None else kept[0]
        files = FileTaker(self._source, self._stream, self._mapping).take(self._rest, self._paths, below)
        ahead = self._tiers.lineage.ahead(self._stream, wish.to)
        objections = [*self._objections(removals), *(one.objection for one in ahead)]
        doubts = [one.doubt for one in removals if one.doubt is not None]
        final = any(doubt.final for doubt in doubts)
        refused = final or (wish.reason is None and bool(doubts or objections))
        return Examined(
            wish=wish,
            record=record,
            verdict=Verdict.REFUSED if refused else Verdict.POSSIBLE,
            removals=removals,
            kept=None if kept is None else (kept[0], kept[1]),
            files=files,
            ahead=ahead,
            objections=objections,
            rewind=self._rewind(kept),
        )

    def _cold(self, bounds: Sequence[Window]) -> Sequence[Fingerprint]:
        """Return what the table holds of each piece, once it is proved to be what is recorded.

        Raises:
            DivergenceError: if it is not.
        """
        if not self._paths:
            found: Sequence[Fingerprint] = [EMPTY] * len(bounds)
        else:
            found = self._source.tally_files(self._stream, self._mapping.as_recorded, bounds, self._paths)
        for recorded in self._windows:
            inside = (one for bound, one in zip(bounds, found, strict=True) if recorded.window.contains(bound.lower))
            held = sum(inside, EMPTY)
            if held != recorded.cold:
                raise held_otherwise(self._stream, recorded, held, repair_command(self._stream.name))
        return found

    def _removal(self, window: Window, cold: Fingerprint, hot: Fingerprint) -> Removal:
        if cold == hot:
            doubt = self._doubt(window, window.lower, 0, 0) if cold.rows else None
            return Removal(window=window, cold=cold, hot=hot, missing=0, surplus=0, doubt=doubt)
        differs = self._difference(window)
        shares = self._source.file_shares(self._stream, self._mapping.as_recorded, window, self._paths)
        first = min((share.first for share in shares if share.first is not None), default=window.lower)
        doubt = self._doubt(window, first, differs.missing, differs.surplus)
        if doubt is not None:
            doubt = replace(doubt, reason=f"{cold.rows:,} rows recorded, {hot.rows:,} in the source: {doubt.reason}")
        return Removal(window=window, cold=cold, hot=hot, missing=differs.missing, surplus=differs.surplus, doubt=doubt)

    def _doubt(self, window: Window, first: datetime, missing: int, surplus: int) -> Doubt | None:
        exchange = Exchange(window=window, first=first, coming=missing, going=surplus)
        return doubt_about(self._source, self._stream, exchange, self._tiers.dropped(self._stream.name), insist=INSIST)

    def _difference(self, window: Window) -> Difference:
        return self._source.late_rows(self._stream, self._mapping, window, self._paths)

    def _objections(self, removals: Sequence[Removal]) -> list[str]:
        """Return why rows that are there might not be there any more when they are to be written again."""
        if not any(one.cold.rows for one in removals):
            return []
        stream, now = self._stream, self._source.now()
        outlook = look_ahead(self._source, stream, self._seen.described, self._seen.wish.to, now)
        if not outlook.within(stream.retention.margin):
            return []
        danger = (
            f"rows from {instant_text(self._seen.wish.to)} on may be deleted from {stream.source} by its TTL"
            f" {outlook.clause!r} at {instant_text(outlook.at or now)}, before they are written again: ALTER TABLE"
            f" {stream.source} MODIFY TTL … to a longer time first, rewind to a later instant, or give {INSIST}"
        )
        return [danger]

    def _rewind(self, kept: tuple[Window, Fingerprint, Fingerprint] | None) -> Rewind:
        stream, to = self._stream, self._seen.wish.to
        last_upper = self._tiers.rewinds.last_rows(stream.name, self._since)
        made = Rewind(
            watermark=to,
            windows=tuple(self._windows),
            last_upper=last_upper,
            partitions=self._partitions,
            reason=self._seen.wish.reason,
        )
        if kept is None:
            return made
        window, cold, there = kept
        left = _NO_DIFFERENCE if there == cold else self._difference(window)
        # What was not compared yet, is compared by the next event, as if the tiers had been equal before.
        former = self._windows[0]
        known = former.hot != former.cold and there != cold and self._compared
        return replace(
            made,
            last_upper=to if cold.rows else last_upper,
            hot={window.lower: left.hot} if known else {},
            findings=left_findings(self._tiers.ledger.findings(stream.name), former.window, window, left),
        )
