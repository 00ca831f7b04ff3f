"""Looking before repairing: what does the table prove, what does it hold, and what can be written again?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from consumer.domain.batch import Evidence
from consumer.domain.errors import DivergenceError
from consumer.domain.held_rows import HeldRows
from consumer.domain.mapping import TableMapping
from consumer.domain.phrasing import counted
from consumer.domain.reconcile import ComparedPartition, Finding, FindingKind, PartKind, content_of
from consumer.domain.repair import (
    NO_LINEAGE,
    Judged,
    Stretch,
    history,
    instants,
    judge,
    runs,
    stretches,
    touching,
    undecided,
    unknown_history,
    written_until,
)
from consumer.domain.stream import Stream
from consumer.domain.window import EVER, Window
from consumer.ports import Catalog, StreamRecord, TargetTable
from consumer.service.adoption.ports import FileSource
from consumer.service.prepare import Preparation
from consumer.service.repair.counting import CountedWindow, count_windows
from consumer.service.repair.ports import RepairLedger


def without_tail(
    judged: Judged, live: Sequence[Stretch], found: Sequence[CountedWindow]
) -> tuple[Judged, list[Stretch], list[CountedWindow]]:
    """Leave out the windows above the last rows of a table of which no snapshot proves anything: they come again."""
    rows = {one.window: one.found.rows for one in found}
    filled = [place for place, one in enumerate(live) if rows.get(one.window, 1)]
    tail = live[filled[-1] + 1 :] if filled else live
    gone = next((one.window.lower for one in tail if one.recorded and one.recorded.fingerprint.rows), None)
    if gone is None:
        return judged, list(live), list(found)
    cut = gone
    return (
        Judged(
            kept=tuple(batch for batch in judged.kept if batch.window.lower < cut),
            withdrawn=tuple(batch for batch in judged.kept if batch.window.lower >= cut and batch.fingerprint.rows),
            reinstated=(),
        ),
        [one for one in live if one.window.lower < cut],
        [one for one in found if one.window.lower < cut],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LostWindow:
    """A window of a withdrawn batch of which the source holds fewer rows than were published: these are gone."""

    window: Window
    published: int
    there: int

    @property
    def rows(self) -> int:
        """How many rows can't be written again."""
        return self.published - self.there


def _proves(evidence: Evidence | None, record: StreamRecord) -> bool:
    """Tell whether the table proves what the ledger has recorded last."""
    proven = (None, None) if evidence is None else (evidence.upper, evidence.batch_id)
    return proven == (record.last_upper, record.last_batch_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """How ledger and table differ, and what a repair makes of it.

    Attributes:
        record: the stream's record as it is.
        source_uuid: the source table.
        target: the table; one that was missing has been made anew, or would be (``None``).
        held: the rows of its live data files.
        judged: the ledger's batches, told apart by what the table proves.
        rebuilt: windows that are recorded as they were counted in the table.
        watermark: where the watermark comes to lie.
        again: rows of the source in withdrawn windows, that are written again.
        lost: what can't be.
        backfills: withdrawn windows below the start: they come back by their requests, unless these were cancelled.
        partitions: see :class:`~consumer.service.repair.ports.Repair`.
    """

    record: StreamRecord
    source_uuid: UUID
    target: TargetTable | None
    held: HeldRows
    judged: Judged
    rebuilt: Sequence[CountedWindow]
    watermark: datetime
    again: int
    lost: Sequence[LostWindow]
    backfills: Sequence[Window]
    partitions: Sequence[ComparedPartition]

    @property
    def evidence(self) -> Evidence | None:
        """What the table proves."""
        return None if self.target is None else self.target.evidence

    @property
    def needed(self) -> bool:
        """Whether the ledger does not follow the table already."""
        evidence, record = self.evidence, self.record
        return bool(
            self.judged.withdrawn
            or self.judged.reinstated
            or self.rebuilt
            or self.watermark != record.watermark
            or not _proves(evidence, record)
            or (record.target_uuid is not None and (self.target is None or self.target.uuid != record.target_uuid))
            or (evidence is not None and evidence.generation > record.generation)
        )

    @property
    def findings(self) -> list[Finding]:
        """What an operator has to take note of."""
        return [
            Finding(
                kind=FindingKind.GAP,
                window=one.window,
                rows=one.rows,
                detail=f"{counted(one.published, 'row')} had been published, the table does not hold them any more, and"
                f" the source holds {one.there:,}: {counted(one.rows, 'row')} can't be written again",
            )
            for one in self.lost
        ]


class Examiner:
    """Compares the ledger with the table, window by window; changes nothing."""

    def __init__(self, *, source: FileSource, ledger: RepairLedger, catalog: Catalog, preparation: Preparation) -> None:
        self._source = source
        self._ledger = ledger
        self._catalog = catalog
        self._preparation = preparation

    def examine(self, stream: Stream, record: StreamRecord) -> Examination:
        """Find out what the table proves and holds.

        Raises:
            DivergenceError: if the table holds rows that belong to no window, or is another one that icehaul has not
                filled.
            StreamError, TransientError: as source, ledger and catalog raise them.
        """
        described, mapping = self._preparation.read_source(stream, record)
        target = self._catalog.inspect(stream.target)
        paths = [] if target is None else self._catalog.data_files(stream.target, stream.partition_by, None)
        known = self._ledger.known_batches(stream.name)
        self._check_ours(stream, record, target, paths)
        evidence = None if target is None else target.evidence
        unproven = evidence is None and target is not None and not target.lineage.whole
        judged = (
            undecided(known) if unproven else judge(known, NO_LINEAGE if target is None else target.lineage, evidence)
        )
        bounds = instants(known, start=record.start, evidence=evidence)
        held = HeldRows(self._source.count_files(stream, mapping.as_recorded, bounds, paths), bounds)
        reach = written_until(known, held.last) if evidence is None else evidence.upper
        live = stretches(judged.valid, start=record.start, reach=reach)
        # Where the ledger was lost, what was backfilled stands in the table alone.
        below = history(judged.valid, record.start) if known else unknown_history(held.first, record.start)
        found = count_windows(stream, live, below, held)
        if unproven:
            judged, live, found = without_tail(judged, live, found)
        rebuilt = [one for one in found if one.recorded != one.found]
        watermark = live[-1].window.upper if live else record.start
        gone, again, lost, backfills = self._hot(stream, mapping, record, judged)
        # Where the table has lost what was recorded last, that may be more than the ledger still has rows of.
        changed = [*gone, *(one.window for one in rebuilt)] if _proves(evidence, record) else [EVER]
        return Examination(
            record=record,
            source_uuid=described.uuid,
            target=target,
            held=held,
            judged=judged,
            rebuilt=rebuilt,
            watermark=watermark,
            again=again,
            lost=lost,
            backfills=backfills,
            partitions=self._partitions(stream, watermark, changed),
        )

    def _check_ours(
        self, stream: Stream, record: StreamRecord, target: TargetTable | None, paths: Sequence[str]
    ) -> None:
        if target is None or not paths or target.evidence is not None or target.uuid == record.target_uuid:
            return
        raise DivergenceError(
            f"stream {stream.name}: the table {stream.target} (UUID {target.uuid}) holds rows, and no snapshot of it"
            " says that icehaul has written them",
            remedy="roll the table back to a snapshot of icehaul's, or move it out of the way"
            " (rename or drop it), so that it is made anew; then run the command again",
        )

    def _hot(
        self, stream: Stream, mapping: TableMapping, record: StreamRecord, judged: Judged
    ) -> tuple[list[Window], int, list[LostWindow], list[Window]]:
        """Return the withdrawn batches' windows, the source's rows in those that are read again, and what is gone."""
        withdrawn = [batch for batch in judged.withdrawn if batch.holds_rows]
        gone = sorted({batch.window for batch in withdrawn}, key=lambda window: (window.lower, window.upper))
        parts = [batch.part for batch in (*judged.kept, *withdrawn) if batch.holds_rows]
        windows = [
            batch.window
            for batch in sorted(withdrawn, key=lambda batch: batch.window.lower)
            if batch.part.kind is PartKind.WINDOW
        ]
        again, lost = 0, []
        for run in runs(windows):
            for window, hot in zip(run, self._source.tally(stream, mapping, run, exact=False), strict=True):
                if window.lower >= record.start:
                    again += hot.rows
                published = content_of(parts, window).fingerprint.rows
                if hot.rows < published:
                    lost.append(LostWindow(window=window, published=published, there=hot.rows))
        return gone, again, lost, [window for window in windows if window.lower < record.start]

    def _partitions(self, stream: Stream, watermark: datetime, changed: Sequence[Window]) -> list[ComparedPartition]:
        """Return the source's partitions as they have to be remembered, so that rows that go now are missed.

        Those that hold rows of windows whose content changes are remembered as mutated since: they are compared again.
        """
        contents, recorded = self._source.survey(stream).contents, self._ledger.partitions(stream.name)
        found = self._source.spans(stream, list(contents), watermark) if contents else {}
        partitions = []
        for id_, span in sorted(found.items()):
            content = recorded[id_].content if id_ in recorded else None
            if touching(changed, span.first, span.last):
                content = replace(contents[id_], data_version=contents[id_].data_version - 1)
            # One that was never compared stays unknown, and is compared with the next event.
            if content is not None:
                partitions.append(
                    ComparedPartition(id=id_, content=content, span=span, watermark=watermark, exact=False)
                )
        return partitions
