"""Replacing: the windows whose rows in the cold tier follow the hot tier, one batch for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from consumer.domain.errors import StaleDifferenceError
from consumer.domain.reconcile import RecordedWindow
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.failpoints.acting import Failpoints
from consumer.ports import BatchEngine, Catalog, Claim, Comparison, Ledger, Metrics, Source
from consumer.service.batch_context import BatchContext, RunningBatch, dependants_of
from consumer.service.batch_run import BatchRunner
from consumer.service.commanded import commanded
from consumer.service.lease import LeaseKeeper
from consumer.service.offload import check_active
from consumer.service.prepare import Preparation
from consumer.service.replacing.batches import Exchanged, ReplacementPlanner
from consumer.service.replacing.review import Choice, Examined, Review, Verdict
from consumer.service.retrying import retrying
from consumer.service.threads import SYSTEM_THREADS, Threads


class Replacements:
    """Replaces the rows of windows; holds the stream's lease meanwhile. Safe to repeat after any failure."""

    def __init__(
        self,
        *,
        streams: Mapping[str, Stream],
        review: Review,
        source: Source,
        ledger: Ledger,
        catalog: Catalog,
        engine: BatchEngine,
        metrics: Metrics,
        owner: str,
        lease: timedelta,
        failpoints: Failpoints,
        threads: Threads = SYSTEM_THREADS,
    ) -> None:
        self._streams = streams
        self._review = review
        self._ledger = ledger
        self._catalog = catalog
        self._engine = engine
        self._runner = BatchRunner(
            source=source, ledger=ledger, catalog=catalog, engine=engine, metrics=metrics, failpoints=failpoints
        )
        self._owner = owner
        self._lease = lease
        self._failpoints = failpoints
        self._threads = threads
        self._planner = ReplacementPlanner(source, ledger)
        self._preparation = Preparation(source=source, ledger=ledger, catalog=catalog, failpoints=failpoints)

    def replace(self, stream: Stream, choice: Choice) -> list[Examined]:
        """Replace the rows of the chosen windows, oldest first, and return what became of each.

        Windows that may not be replaced are left as they are; they come back as refused.

        Raises:
            ConfigurationError: if no window that is done is chosen.
            LeaseHeldError: if a consumer works on the stream at this moment.
            FencedError: if the lease was lost on the way; the windows done by then stay done.
            StreamError, TransientError: as the steps of a batch raise them.
        """
        check_active(self._ledger.register(stream.name, stream.begins))
        with self._failpoints.around("lease.claim"):
            claim = self._ledger.claim(stream.name, self._owner, self._lease)
        running = RunningBatch(self._engine)
        with LeaseKeeper(
            self._ledger, claim, self._lease, running.cancel, self._threads, failpoints=self._failpoints
        ) as keeper:
            check_active(claim.record)
            claim = self._catalog.heal(stream, claim, final=True)
            context = commanded(
                self._preparation,
                stream,
                claim,
                running,
                abandoned=self._threads.signal(),
                still_ours=keeper.check,
                dependants=dependants_of(stream, self._streams),
            )
            run = _Run(context=context, claim=claim, choice=choice)
            windows = self._review.chosen(stream, claim.record, choice)
            return [self._settle(run, recorded.window) for recorded in windows]

    def _settle(self, run: _Run, window: Window) -> Examined:
        """Replace one window's rows; where they change meanwhile, the next attempt looks at them again."""
        return retrying(run.context.stream, run.context.abandoned, lambda: self._replace(run, window))

    def _replace(self, run: _Run, window: Window) -> Examined:
        context, stream = run.context, run.context.stream
        context.still_ours()
        recorded = self._recorded(stream, window)
        examined = self._review.examine(stream, context.work.mapping, recorded, run.choice)
        if examined.verdict is Verdict.EQUAL:
            # What was found before may have been undone in the source.
            with self._failpoints.around("comparison.record"):
                self._ledger.record_comparison(run.claim, Comparison(equal=[window]))
        if examined.verdict is not Verdict.REPLACEABLE:
            return examined
        exchanged = Exchanged(recorded=recorded, files=examined.files, hot=examined.hot)
        batch = self._planner.batch(context, run.claim.record.generation, exchanged)
        run.claim = self._runner.run(context, run.claim, batch)
        published = self._ledger.resolve(stream.name, batch.id)
        return replace(
            examined, verdict=Verdict.REPLACED, snapshot_id=None if published is None else published.snapshot_id
        )

    def _recorded(self, stream: Stream, window: Window) -> RecordedWindow:
        for recorded in self._ledger.windows(stream.name, window):
            if recorded.window == window:
                return recorded
        # Under our lease nobody extends it: somebody else has the lease by now, as the next attempt will find.
        raise StaleDifferenceError(
            f"stream {stream.name}: the window {window} is not recorded any more as it was when it was chosen",
            remedy="run the command again, which looks at what is recorded now",
        )


@dataclass(slots=True, kw_only=True)
class _Run:
    """One call of :meth:`Replacements.replace`; the claim is as the last batch left it."""

    context: BatchContext
    claim: Claim
    choice: Choice
