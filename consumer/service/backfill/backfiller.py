"""The consumer's part of a backfill: one bounded batch after everything live, then others get their turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from consumer.domain.backfill import BackfillRequest, uncovered
from consumer.domain.batch import Batch
from consumer.domain.event import Event
from consumer.domain.event_factory import batch_committed
from consumer.domain.window import Window
from consumer.failpoints.acting import Failpoints
from consumer.ports import Claim, Ledger, Metrics, Source
from consumer.service.backfill.ports import Backfills
from consumer.service.batch_account import BatchOutcome, accounted
from consumer.service.batch_context import BatchContext
from consumer.service.batch_run import BatchRunner
from consumer.service.plan import Planner, fitted

_log = structlog.get_logger(__name__)


def is_hint(event: Event) -> bool:
    """Tell whether an event is what a backfill batch has left to make its own stream go on."""
    return event.upstream is not None and event.upstream == event.stream


class Backfiller:
    """Does the next batch of a stream's oldest open request; safe to repeat after any failure."""

    def __init__(
        self,
        *,
        source: Source,
        ledger: Ledger,
        backfills: Backfills,
        runner: BatchRunner,
        metrics: Metrics,
        failpoints: Failpoints,
    ) -> None:
        self._metrics = metrics
        self._source = source
        self._ledger = ledger
        self._backfills = backfills
        self._runner = runner
        self._failpoints = failpoints
        self._planner = Planner(source, ledger)

    def step(self, context: BatchContext, claim: Claim, event: Event) -> None:
        """Do one batch, unless nothing is asked for; its transaction leaves a hint, so that the rest follows.

        A hint that names another batch than the last one is an old one: the stream has gone on since on behalf of a
        live event, which has left a hint of its own. So there is never more than one that does anything, and a live
        event waits for one batch of history at most.

        Args:
            context: the event's context, whose lease covers the work; everything live of it is done.
            claim: the lease, with the ledger's present state.
            event: what is handled.

        Raises:
            StreamError, TransientError, FencedError: as the steps of a batch raise them.
        """
        if is_hint(event) and event.batch_id != _text(claim.record.last_backfill_id):
            return
        # What was asked for since the lease was taken has a hint of its own.
        requests = list(self._backfills.open(context.stream.name)) if claim.backfilling else []
        left = self._do_one(context, claim, requests)
        self._metrics.backfill(context.stream.name, left)

    def _do_one(self, context: BatchContext, claim: Claim, requests: list[BackfillRequest]) -> timedelta:
        """Do one batch, and return how much time is still to be backfilled."""
        while requests:
            stretch = self._next(claim, requests[0])
            if stretch is None:
                requests.pop(0)
                continue
            allowed = self._allowed(context, stretch)
            done = stretch.lower if allowed is None else self._run(context, claim, requests, allowed)
            if done is not None:
                rests = (one.rest for one in requests)
                return sum((one.upper - max(one.lower, done) for one in rests if one is not None), timedelta(0))
        return timedelta(0)

    def _allowed(self, context: BatchContext, stretch: Window) -> Window | None:
        """Return as much of a stretch as the upstreams allow; ``None`` for nothing: the first event of theirs goes on.

        They allowed all of it when it was asked for, and may have been set back since (a rewind, a repair).
        """
        final = self._planner.cutoff(context.stream, stretch.upper, None).instant
        if final <= stretch.lower:
            _log.info("backfill.waiting", stream=context.stream.name, window=str(stretch))
            return None
        return Window(lower=stretch.lower, upper=min(stretch.upper, final))

    def _next(self, claim: Claim, request: BackfillRequest) -> Window | None:
        """Return the next stretch of a request that is not done; ``None`` once nothing is left, which is recorded."""
        rest = request.rest
        if rest is None:
            return None
        done = [recorded.window for recorded in self._ledger.windows(request.stream, rest)]
        # What lies from the start on is for live windows, also where these have not got there yet.
        allowed = [one for one in uncovered(rest, done) if one.lower < claim.record.start]
        if allowed:
            return Window(lower=allowed[0].lower, upper=min(allowed[0].upper, claim.record.start))
        with self._failpoints.around("backfill.skip"):
            self._backfills.skip(claim, request.id, rest.upper)
        return None

    def _run(
        self, context: BatchContext, claim: Claim, requests: Sequence[BackfillRequest], stretch: Window
    ) -> datetime | None:
        """Do the first batch of a stretch, and return where it ends; ``None`` if it was left, its rows having gone."""
        context.still_ours()
        identity = context.work.identity(claim.record.generation)
        stream = fitted(context.stream, context.work.target)
        batch = self._planner.backfill(stream, identity, stretch, requests[0].id)
        last = len(requests) == 1 and batch.window.upper >= requests[0].window.upper
        if batch.empty:
            self._pass_over(context, claim, batch, last=last)
            return batch.window.upper
        # The stream is its own dependant: it is woken in the transaction of the publish, as others are.
        own = replace(context, dependants=[] if last else [batch.stream])
        landed = self._runner.run(own, claim, batch).record.last_batch_id == batch.id
        return batch.window.upper if landed else None

    def _pass_over(self, context: BatchContext, claim: Claim, batch: Batch, *, last: bool) -> None:
        with accounted(context, batch) as account:
            self._runner.settle(context, claim)
            outbox = () if last else (self._hint(context, claim, batch),)
            with self._failpoints.around("backfill.advance"):
                self._backfills.pass_over(claim, batch, context.trigger, outbox)
            account.without_rows(BatchOutcome.EMPTY)

    def _hint(self, context: BatchContext, claim: Claim, batch: Batch) -> Event:
        return batch_committed(
            dependant=batch.stream,
            upstream=batch.stream,
            batch_id=batch.id,
            watermark=claim.record.watermark,
            time=self._source.now(),
            traceparent=context.trigger.traceparent,
        )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
