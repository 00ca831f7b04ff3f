"""Settling a window whose rows are not the recorded ones: what is late is published, what has gone is recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

import structlog

from consumer.domain.batch import Batch, BatchKind, Unit
from consumer.domain.divergence import held_otherwise, repair_command
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.lateness import lateness_of
from consumer.domain.phrasing import counted
from consumer.domain.reconcile import (
    LATE_ROWS_MAX,
    Difference,
    Finding,
    FindingKind,
    LateRow,
    RecordedWindow,
)
from consumer.domain.window import MICROSECOND, Window
from consumer.ports import Catalog, Claim, Ledger, Source
from consumer.service.batch_context import BatchContext
from consumer.service.batch_run import BatchRunner

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Settled:
    """How a window was settled.

    Attributes:
        rows: late rows that were published.
        hot: what the hot tier holds of the window, by lower bound, where that is not what the cold tier holds.
        findings: what an operator has to know.
        equal: the window, if both tiers hold the same rows of it.
        replaced: how many windows were replaced.
    """

    rows: int = 0
    replaced: int = 0
    hot: Mapping[datetime, Fingerprint] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    equal: Sequence[Window] = ()


class Settler:
    """Computes a window's difference, and publishes its late rows as supplements."""

    def __init__(self, *, source: Source, ledger: Ledger, catalog: Catalog, runner: BatchRunner) -> None:
        self._source = source
        self._ledger = ledger
        self._catalog = catalog
        self._runner = runner

    def settle(
        self,
        context: BatchContext,
        claim: Claim,
        recorded: RecordedWindow,
        *,
        mutated: bool,
        known: Difference | None = None,
    ) -> Settled:
        """Publish what is late in a window, and tell what else is different.

        Rows that have gone from the hot tier stay in the cold tier. Where rows were changed, a new version can't be
        told from a late row: nothing is published, and an operator decides.

        Args:
            context: the event's context, whose lease covers the work.
            claim: the lease, with the ledger's present state.
            recorded: the window, with what the ledger knows of it.
            mutated: whether a mutation was applied since the window was last compared.
            known: the window's difference, where it was just computed.
        """
        window = recorded.window
        changed = any(
            finding.kind is FindingKind.CHANGED and finding.window == window
            for finding in self._ledger.findings(context.stream.name)
        )
        published = 0
        while True:
            context.still_ours()
            difference, known = known or self.difference(context, recorded), None
            if difference.missing and (changed or (mutated and difference.surplus)):
                return Settled(
                    rows=published, hot={window.lower: difference.hot}, findings=[_changed(window, difference)]
                )
            if difference.late:
                published += self._publish(context, claim, recorded, difference.late)
                recorded = self._again(context, recorded)
                if len(difference.late) == LATE_ROWS_MAX:
                    continue
            return Settled(
                rows=published,
                hot=_remaining(recorded, difference),
                findings=list(_findings(window, difference, mutated=mutated)),
                equal=() if difference.surplus or difference.refused else (window,),
            )

    def difference(self, context: BatchContext, recorded: RecordedWindow) -> Difference:
        """Return how the rows of a window differ between the tiers.

        Raises:
            DivergenceError: if the cold tier does not hold the rows that are recorded: what was rolled back for a while
                would be taken for late, and doubled.
            StreamError, TransientError: as source and catalog raise them.
        """
        stream, work, window = context.stream, context.work, recorded.window
        paths = self._catalog.data_files(stream.target, stream.partition_by, window)
        found = self._source.late_rows(stream, work.mapping, window, paths, not_before=self._not_before(context))
        # Rows that were written with other columns may have another digest by now. Rows of others are their affair.
        same = found.cold == recorded.cold if work.mapping.digest is None else found.cold.rows == recorded.cold.rows
        if not same and found.cold.rows <= recorded.cold.rows:
            raise held_otherwise(stream, recorded, found.cold, repair_command(stream.name))
        return found

    def _not_before(self, context: BatchContext) -> datetime | None:
        limit = context.stream.late_rows_max_age
        return None if limit is None else self._source.now() - limit

    def _again(self, context: BatchContext, recorded: RecordedWindow) -> RecordedWindow:
        """Return the window as it is recorded now; nobody else can have extended it under our lease."""
        windows = self._ledger.windows(context.stream.name, recorded.window)
        return next((each for each in windows if each.window == recorded.window), recorded)

    def _publish(self, context: BatchContext, claim: Claim, recorded: RecordedWindow, late: Sequence[LateRow]) -> int:
        batch = self._supplement(context, claim, recorded, late)
        _log.info("late_rows.found", stream=batch.stream, window=str(batch.window), rows=batch.rows)
        self._runner.run(context, claim, batch)
        return batch.rows

    def _supplement(
        self, context: BatchContext, claim: Claim, recorded: RecordedWindow, late: Sequence[LateRow]
    ) -> Batch:
        stream, work = context.stream, context.work
        generation = claim.record.generation
        return Batch(
            id=work.identity(generation).batch_id(
                BatchKind.SUPPLEMENT, recorded.window, base=recorded.cold, revision=recorded.revision
            ),
            stream=stream.name,
            kind=BatchKind.SUPPLEMENT,
            window=recorded.window,
            generation=generation,
            units=tuple(_units(context, late)),
            base=recorded.cold,
            revision=recorded.revision,
            lateness=lateness_of(((row.instant, row.rows) for row in late), found=self._source.now()),
        )


def _units(context: BatchContext, late: Sequence[LateRow]) -> Iterator[Unit]:
    """Yield a unit for each partition of the target that late rows belong to.

    It reaches from the first of them to the last, so that the source need not read the rest of their window again.
    """
    partition_by = context.stream.partition_by
    ordered = sorted(late, key=lambda row: (row.instant, row.hash))
    for index, (_, rows) in enumerate(groupby(ordered, key=lambda row: partition_by.floor(row.instant))):
        members = tuple(rows)
        yield Unit(
            index=index,
            window=Window(lower=members[0].instant, upper=members[-1].instant + MICROSECOND),
            rows=sum(row.rows for row in members),
            late=tuple(sorted(members, key=lambda row: row.hash)),
        )


def _remaining(recorded: RecordedWindow, difference: Difference) -> Mapping[datetime, Fingerprint]:
    """Return what the hot tier holds of the window, where that has to be remembered.

    It is what was read before the late rows were looked for: what has arrived since is a difference again.
    """
    if difference.surplus or difference.refused or recorded.hot != recorded.cold:
        return {recorded.window.lower: difference.hot}
    return {}


def _findings(window: Window, difference: Difference, *, mutated: bool) -> Iterator[Finding]:
    if difference.refused:
        yield Finding(
            kind=FindingKind.TOO_LATE,
            window=window,
            rows=difference.refused,
            detail=f"{counted(difference.refused, 'row')} arrived later than late_rows.max_age allows; not added",
        )
    if mutated and difference.surplus:
        yield Finding(
            kind=FindingKind.DELETED,
            window=window,
            rows=difference.surplus,
            detail=f"{counted(difference.surplus, 'row')} were deleted in the source after they had been offloaded;"
            " the cold tier keeps them",
        )


def _changed(window: Window, difference: Difference) -> Finding:
    return Finding(
        kind=FindingKind.CHANGED,
        window=window,
        rows=difference.missing,
        detail=f"a mutation changed rows after they had been offloaded: {difference.missing:,} stand in the source"
        f" only, {difference.surplus:,} in the target only; the cold tier keeps what it has",
    )
