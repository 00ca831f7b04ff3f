"""Reconciling: finding rows that arrived below the watermark, and bringing them into the cold tier by supplements.

From cheap to exact: partitions whose content has changed since they were last compared; the counts or digests of their
windows, against what is recorded; the row-by-row difference of those windows alone that differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby, pairwise

import structlog

from consumer.domain.divergence import repair_command
from consumer.domain.engine_semantics import merges_combine_rows, merges_remove_rows
from consumer.domain.errors import DivergenceError, GapError
from consumer.domain.event import Event
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.following import DifferingWindow, overlaps
from consumer.domain.phrasing import counted, instant_text
from consumer.domain.reconcile import (
    ComparedPartition,
    Finding,
    FindingKind,
    PartitionSpan,
    RecordedWindow,
    Suspect,
    differing,
    find_shrunk,
    find_suspects,
    find_vanished,
    read_already,
)
from consumer.domain.stream import Mode, Stream
from consumer.domain.window import MICROSECOND, Window
from consumer.failpoints.acting import Failpoints
from consumer.ports import Claim, Comparison, Ledger, Metrics, Source
from consumer.service.batch_context import BatchContext
from consumer.service.observation import Observation, compared_partitions, holding
from consumer.service.replacing.follower import Followed, Follower, gone_findings
from consumer.service.settle import Settled, Settler
from consumer.service.steps import step

_log = structlog.get_logger(__name__)


class Reconciler:
    """Compares what the hot tier holds below the watermark with what is recorded; safe to repeat after any failure."""

    def __init__(
        self,
        *,
        source: Source,
        ledger: Ledger,
        settler: Settler,
        follower: Follower,
        metrics: Metrics,
        dropped: Callable[[str], Sequence[Window]],
        failpoints: Failpoints,
    ) -> None:
        self._dropped = dropped
        self._source = source
        self._ledger = ledger
        self._settler = settler
        self._follower = follower
        self._metrics = metrics
        self._failpoints = failpoints

    def observe(self, stream: Stream, claim: Claim, again: Window | None = None) -> Observation:
        """Look at the partitions before anything is planned, and make sure that no unread row has gone.

        Those that hold rows of the stretch ``again`` are to be compared, whatever is known of them.

        Raises:
            GapError: if rows at or above the watermark, seen earlier, are not there any more.
        """
        survey = self._source.survey(stream)
        recorded = self._ledger.partitions(stream.name) if claim.compared is None else claim.compared
        watermark = claim.record.watermark
        seen = Observation(
            contents=survey.contents,
            recorded=recorded,
            table=survey.table,
            unread=not read_already(recorded, survey.contents, watermark),
            watermark=watermark,
            again=frozenset() if again is None else holding(recorded, again),
        )
        gaps = list(self._gaps(stream, watermark, seen))
        if gaps:
            with self._failpoints.around("comparison.record"):
                self._ledger.record_comparison(claim, Comparison(findings=gaps))
            raise _gap_error(stream, gaps)
        return seen

    def reconcile(self, context: BatchContext, claim: Claim, event: Event, seen: Observation) -> None:
        """Compare the partitions that have changed, publish what is late, and record how they were compared.

        Raises:
            StreamError, TransientError, FencedError: as the steps of a batch raise them.
        """
        stream, watermark = context.stream, claim.record.watermark
        suspects = find_suspects(
            seen.recorded,
            seen.contents,
            closed=event.partition_id,
            again=seen.again,
            versions=stream.mode is Mode.LATEST_VERSION,
        )
        moved = {
            id_
            for id_, known in seen.recorded.items()
            if id_ in seen.contents and known.span.pending and known.watermark != watermark
        }
        gone = [id_ for id_ in seen.recorded if id_ not in seen.contents]
        if not suspects and not moved and not gone:
            return
        with step(self._metrics, stream.name, "reconcile") as span:
            ids = {suspect.id for suspect in suspects} | moved
            spans = self._source.spans(stream, ids, watermark) if ids else {}
            followed = Followed()
            if stream.mode is not Mode.APPEND:
                followed = self._follower.follow(
                    context, claim, list(self._differing(context, watermark, suspects, spans, seen))
                )
                followed.settled.append(self._gone(stream, watermark, seen))
            elif not merges_combine_rows(context.work.source.engine):
                followed.settled = [
                    self._settler.settle(context, claim, one.recorded, mutated=one.mutated)
                    for one in self._differing(context, watermark, suspects, spans, seen)
                ]
                followed.settled += self._vacated(context, claim, seen)
            span.set_attribute("offload.rows", sum(each.rows for each in followed.settled))
            compared = compared_partitions(claim, seen, suspects, spans, followed.waiting)
            self._record(claim, compared, gone, followed.settled)

    def _gaps(self, stream: Stream, watermark: datetime, seen: Observation) -> Iterator[Finding]:
        for known in find_vanished(seen.recorded, seen.contents):
            if known.span.last >= watermark:
                yield _gap(known, watermark, known.span.pending)
        shrunk = [known for known in find_shrunk(seen.recorded, seen.contents) if known.watermark == watermark]
        if not shrunk or merges_remove_rows(self._source.describe(stream.source).engine):
            return
        spans = self._source.spans(stream, [known.id for known in shrunk], watermark)
        for known in shrunk:
            pending = spans[known.id].pending if known.id in spans else 0
            if pending < known.span.pending:
                yield _gap(known, watermark, known.span.pending - pending)

    def _differing(
        self,
        context: BatchContext,
        watermark: datetime,
        suspects: Sequence[Suspect],
        spans: Mapping[str, PartitionSpan],
        seen: Observation,
    ) -> Iterator[DifferingWindow]:
        """Yield the windows whose rows are not the recorded ones, and what was at work in them."""
        stream = context.stream
        marked = self._marked(stream, watermark, suspects, spans, seen)
        gone = [stretch for _, stretch, _ in seen.gone(watermark)]
        ordered = [marked.windows[lower] for lower in sorted(marked.windows)]
        for is_exact, group in groupby(ordered, key=lambda recorded: recorded.window.lower in marked.exact):
            for recorded, _ in self._counted(context, list(group), exact=is_exact):
                lower = recorded.window.lower
                yield DifferingWindow(
                    recorded=recorded,
                    mutated=lower in marked.mutated,
                    whole=lower not in marked.broken and not overlaps(recorded.window, gone),
                )

    def _marked(
        self,
        stream: Stream,
        watermark: datetime,
        suspects: Sequence[Suspect],
        spans: Mapping[str, PartitionSpan],
        seen: Observation,
    ) -> _Marked:
        marked = _Marked()
        for suspect in suspects:
            # Where rows have gone at its ends, or all of them, the partition reached further when it was last compared.
            known = seen.recorded.get(suspect.id)
            reach = [span for span in (spans.get(suspect.id), known and known.span) if span]
            first = min((one.first for one in reach), default=watermark)
            if first >= watermark:
                continue
            stretch = Window(lower=first, upper=min(max(one.last for one in reach) + MICROSECOND, watermark))
            for recorded in self._ledger.windows(stream.name, stretch):
                marked.mark(recorded, suspect, doubtful=suspect.doubtful(first, seen.watermark))
        return marked

    def _vacated(self, context: BatchContext, claim: Claim, seen: Observation) -> Iterator[Settled]:
        """Settle the windows whose rows have gone with a partition, so that the ledger knows what the hot tier holds.

        What icehaul itself has dropped is remembered elsewhere. Of a window that has no row left nothing can be late.
        """
        stream, gone = context.stream, seen.gone(claim.record.watermark)
        dropped = self._dropped(stream.name) if gone else ()
        windows = {
            one.window.lower: one
            for _, stretch, _ in gone
            for one in self._ledger.windows(stream.name, stretch)
            if not overlaps(one.window, dropped)
        }
        for recorded, rows in self._counted(context, [windows[lower] for lower in sorted(windows)], exact=False):
            if rows:
                yield self._settler.settle(context, claim, recorded, mutated=False)
            else:
                yield Settled(hot={recorded.window.lower: EMPTY})

    def _counted(
        self, context: BatchContext, windows: Sequence[RecordedWindow], *, exact: bool
    ) -> Iterator[tuple[RecordedWindow, int]]:
        """Yield the windows whose count, or digest, is not the recorded one, with the rows that the hot tier has."""
        for run in _runs(context.stream, windows):
            context.still_ours()
            found = self._source.tally(
                context.stream, context.work.mapping, [recorded.window for recorded in run], exact=exact
            )
            rows = {recorded.window.lower: now.rows for recorded, now in zip(run, found, strict=True)}
            for recorded in differing(run, found, exact=exact):
                yield recorded, rows[recorded.window.lower]

    def _gone(self, stream: Stream, watermark: datetime, seen: Observation) -> Settled:
        """Return what has to be remembered of partitions that have gone, where rows that have gone may be removed."""
        if not stream.replace.remove_rows:
            return Settled()
        return Settled(
            findings=gone_findings(
                lambda stretch: [one.window for one in self._ledger.windows(stream.name, stretch)],
                seen.gone(watermark),
                seen.stretches(),
            )
        )

    def _record(
        self,
        claim: Claim,
        partitions: Sequence[ComparedPartition],
        gone: Sequence[str],
        settled: Sequence[Settled],
    ) -> None:
        hot: dict[datetime, Fingerprint] = {}
        findings: list[Finding] = []
        equal: list[Window] = []
        for each in settled:
            hot |= each.hot
            findings += each.findings
            equal += each.equal
        with self._failpoints.around("comparison.record"):
            self._ledger.record_comparison(
                claim, Comparison(partitions=partitions, gone=gone, hot=hot, findings=findings, equal=equal)
            )
        for finding in findings:
            _log.warning(
                "hot_tier.differs",
                stream=claim.stream,
                kind=finding.kind,
                window=str(finding.window),
                rows=finding.rows,
                detail=finding.detail,
            )


@dataclass(slots=True)
class _Marked:
    """Windows by lower bound, and which of them are compared by digest, were mutated, or hold a partition anew."""

    windows: dict[datetime, RecordedWindow] = field(default_factory=dict)
    exact: set[datetime] = field(default_factory=set)
    mutated: set[datetime] = field(default_factory=set)
    broken: set[datetime] = field(default_factory=set)

    def mark(self, recorded: RecordedWindow, suspect: Suspect, *, doubtful: bool) -> None:
        """Mark a window that a suspect partition holds rows of."""
        lower = recorded.window.lower
        self.windows[lower] = recorded
        if suspect.exact or doubtful:
            self.exact.add(lower)
        if suspect.mutated or (doubtful and suspect.content.data_version):
            self.mutated.add(lower)
        if not suspect.whole:
            self.broken.add(lower)


def _runs(stream: Stream, windows: Sequence[RecordedWindow]) -> Iterator[list[RecordedWindow]]:
    """Cut windows into contiguous runs, each of which can be counted in one reading."""
    run: list[RecordedWindow] = []
    for one, other in pairwise([*windows, None]):
        if one is None:
            return
        run.append(one)
        if other is not None and one.window.upper > other.window.lower:
            raise DivergenceError(
                f"stream {stream.name}: the windows {one.window} and {other.window} are both done, and overlap",
                remedy=repair_command(stream.name),
            )
        if other is None or one.window.upper != other.window.lower:
            yield run
            run = []


def _gap(known: ComparedPartition, watermark: datetime, rows: int) -> Finding:
    window = Window(lower=max(known.span.first, watermark), upper=known.span.last + MICROSECOND)
    return Finding(
        kind=FindingKind.GAP,
        window=window,
        rows=rows,
        detail=f"partition {known.id} held {counted(known.content.rows, 'row')} from"
        f" {instant_text(known.span.first)} to {instant_text(known.span.last)},"
        f" {known.span.pending:,} of them not yet offloaded; {rows:,} of these are not there any more",
    )


def _gap_error(stream: Stream, gaps: Sequence[Finding]) -> GapError:
    first, rows = gaps[0], sum(gap.rows for gap in gaps)
    return GapError(
        f"stream {stream.name}: {counted(rows, 'row')} of {stream.source} went before they were offloaded (TTL, a"
        f" dropped partition), between {instant_text(first.window.lower)} and {instant_text(gaps[-1].window.upper)}:"
        f" {first.detail}",
        remedy=f"restore them in the source (from a backup, a replica), then run `icehaul resume {stream.name}`; or"
        f" accept the loss with `icehaul resume {stream.name} --accept-findings`",
    )
