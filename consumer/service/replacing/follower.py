"""Following: in some modes, windows whose rows have changed in the hot tier are replaced without being asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from consumer.domain.errors import StaleDifferenceError
from consumer.domain.following import DifferingWindow, Following, following, in_turn, overlaps, removable
from consumer.domain.phrasing import counted
from consumer.domain.reconcile import Difference, Finding, FindingKind
from consumer.domain.replacement import FileShare, files_of
from consumer.domain.stream import Mode
from consumer.domain.window import Window
from consumer.ports import Catalog, Claim, Ledger, Metrics, Source
from consumer.service.batch_context import BatchContext
from consumer.service.batch_run import BatchRunner
from consumer.service.replacing.batches import Exchanged, ReplacementPlanner
from consumer.service.replacing.doubt import Doubt, DoubtKind, Exchange, doubt_about
from consumer.service.settle import Settled, Settler

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Followed:
    """How differing windows were settled, and which of them wait for the next event."""

    settled: list[Settled] = field(default_factory=list)
    waiting: list[Window] = field(default_factory=list)


class Follower:
    """Brings windows up to what the hot tier holds: late rows by supplements, changed ones by replacements.

    ``dropped`` returns the stretches of time that `icehaul drop-hot` has dropped rows of.
    """

    def __init__(
        self,
        *,
        source: Source,
        ledger: Ledger,
        catalog: Catalog,
        settler: Settler,
        runner: BatchRunner,
        metrics: Metrics,
        dropped: Callable[[str], Sequence[Window]],
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._catalog = catalog
        self._settler = settler
        self._runner = runner
        self._metrics = metrics
        self._dropped = dropped
        self._planner = ReplacementPlanner(source, ledger)

    def follow(self, context: BatchContext, claim: Claim, differing: Iterable[DifferingWindow]) -> Followed:
        """Settle windows in turn, no more replacements than one event may have; the others wait.

        A window whose rows change while it is replaced waits, too; at most as many such attempts are made.

        Raises:
            StreamError, TransientError, FencedError: as the steps of a batch raise them.
        """
        limit = context.stream.replace.windows_per_event
        followed, replaced, stale = Followed(), 0, 0
        for one in in_turn(differing):
            window = one.recorded.window
            if replaced >= limit or stale >= limit:
                followed.waiting.append(window)
                continue
            try:
                settled = self._settle(context, claim, one)
            except StaleDifferenceError as error:
                _log.info("window.moved", stream=context.stream.name, window=str(window), reason=error.message)
                stale += 1
                followed.waiting.append(window)
                continue
            replaced += settled.replaced
            followed.settled.append(settled)
        self._metrics.windows_waiting(context.stream.name, len(followed.waiting))
        if followed.waiting:
            _log.info("windows.waiting", stream=context.stream.name, windows=len(followed.waiting), replaced=replaced)
        return followed

    def _settle(self, context: BatchContext, claim: Claim, one: DifferingWindow) -> Settled:
        context.still_ours()
        stream, window = context.stream, one.recorded.window
        difference = self._settler.difference(context, one.recorded)
        findings = self._ledger.findings(stream.name)
        may_go = removable(stream, one, findings)
        course = following(difference, removable=may_go)
        if course is Following.ADD and difference.missing and _left_alone(findings, window):
            # It was left to an operator as a whole; if nothing has to go any more, it can be brought up as a whole.
            course = Following.LEAVE if difference.surplus or difference.refused else Following.REPLACE
        if course is Following.LEAVE:
            return _left(window, difference, _reason(difference))
        doubt = None
        if course is Following.REPLACE or difference.lost:
            files = self._files(context, one)
            doubt = self._doubt(context, one, files, difference, may_go=may_go)
            if course is Following.REPLACE and doubt is None:
                return self._replace(context, claim, one, files, difference)
        if doubt is not None and difference.surplus > difference.lost:
            return _left(window, difference, doubt.reason)
        settled = self._settler.settle(context, claim, one.recorded, mutated=False, known=difference)
        # What a TTL takes, and what was dropped once it had been offloaded, is no news.
        told = one.mutated or stream.mode is Mode.LATEST_VERSION
        if difference.lost and told and (doubt is None or doubt.kind is DoubtKind.DELETED):
            return replace(settled, findings=[*settled.findings, _deleted(window, difference.lost)])
        return settled

    def _files(self, context: BatchContext, one: DifferingWindow) -> Sequence[FileShare]:
        stream, mapping, window = context.stream, context.work.mapping, one.recorded.window
        paths = self._catalog.data_files(stream.target, stream.partition_by, window)
        return files_of(stream, one.recorded, self._source.file_shares(stream, mapping, window, paths))

    def _doubt(
        self,
        context: BatchContext,
        one: DifferingWindow,
        files: Sequence[FileShare],
        difference: Difference,
        *,
        may_go: bool,
    ) -> Doubt | None:
        """Return why rows must not go from a window; nothing the configuration says sets a TTL or a drop aside."""
        stream, window = context.stream, one.recorded.window
        exchange = Exchange(
            window=window,
            first=min((file.first for file in files if file.first is not None), default=window.lower),
            coming=difference.surplus if may_go else difference.surplus - difference.lost,
            going=difference.surplus,
        )
        return doubt_about(
            self._source, stream, exchange, self._dropped(stream.name), insist="`icehaul replace --remove-rows`"
        )

    def _replace(
        self,
        context: BatchContext,
        claim: Claim,
        one: DifferingWindow,
        files: Sequence[FileShare],
        difference: Difference,
    ) -> Settled:
        exchanged = Exchanged(recorded=one.recorded, files=files, hot=difference.hot)
        self._runner.run(context, claim, self._planner.batch(context, claim.record.generation, exchanged))
        _log.info(
            "window.replaced",
            stream=context.stream.name,
            window=str(one.recorded.window),
            mode=context.stream.mode,
            came=difference.missing,
            went=difference.surplus,
            deleted=difference.lost,
        )
        return Settled(replaced=1)


def gone_findings(
    done: Callable[[Window], Iterable[Window]],
    gone: Iterable[tuple[str, Window, int]],
    live: Sequence[Window],
) -> list[Finding]:
    """Return a finding for each window of a partition that has gone, where others still hold rows of it.

    What was lost with the partition would otherwise pass for deleted as soon as something else changes in the window.
    Windows of which nothing is left are not compared any more, and need none.

    Args:
        done: returns the windows that are done of a stretch of time.
        gone: id, stretch and rows of each partition that has gone.
        live: the stretches of those that are still there.
    """
    return [
        Finding(
            kind=FindingKind.DELETED,
            window=window,
            rows=rows,
            detail=f"the partition {id_} of {counted(rows, 'row')} has gone from the source as a whole; the cold tier"
            " keeps its rows",
        )
        for id_, stretch, rows in gone
        for window in done(stretch)
        if overlaps(window, live)
    ]


def _left_alone(findings: Sequence[Finding], window: Window) -> bool:
    return any(one.kind is FindingKind.CHANGED and one.window == window for one in findings)


def _left(window: Window, difference: Difference, reason: str) -> Settled:
    changed = Finding(
        kind=FindingKind.CHANGED,
        window=window,
        rows=difference.missing or difference.surplus,
        detail=f"{difference.missing:,} rows stand in the source only, {difference.surplus:,} in the target only, and"
        f" the window is not replaced: {reason}",
    )
    return Settled(hot={window.lower: difference.hot}, findings=[changed])


def _reason(difference: Difference) -> str:
    if difference.refused:
        return f"{counted(difference.refused, 'row')} came later than late_rows.max_age allows"
    return (
        f"{counted(difference.lost, 'row')} would go that the source does not hold any more, and replace.remove_rows is"
        " not set, or a dropped partition may have taken them"
    )


def _deleted(window: Window, rows: int) -> Finding:
    return Finding(
        kind=FindingKind.DELETED,
        window=window,
        rows=rows,
        detail=f"{counted(rows, 'row')} are not in the source any more after they had been offloaded; the cold tier"
        " keeps them",
    )
