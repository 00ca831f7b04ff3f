"""The use case: what an event makes happen, from the claim to the last published batch.

Steps of a batch, numbered as in ``docs/explanation/protocol.md``: 1 receive (the runtime), 2 claim, 3 plan,
4 write, 5 check, 6 publish, 7 acknowledge (the runtime, once :meth:`Offload.handle` has returned). Before the last one
what arrived below the watermark is looked for, and one batch is done of what is to be backfilled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

import structlog

from consumer.domain.errors import (
    ConfigurationError,
    DivergenceError,
    FencedError,
    IcehaulError,
    InvalidEventError,
    SchemaMovedError,
    StreamError,
)
from consumer.domain.event import Event
from consumer.domain.invalid_reason import InvalidReason
from consumer.domain.stream import OnDivergence, Stream
from consumer.domain.window import Window
from consumer.failpoints.acting import Failpoints
from consumer.ports import BatchEngine, Catalog, Claim, Ledger, Metrics, Source, StreamRecord, StreamState
from consumer.service.admission import Admission
from consumer.service.backfill.backfiller import Backfiller
from consumer.service.backfill.ports import Backfills
from consumer.service.batch_context import BatchContext, RunningBatch, dependants_of
from consumer.service.batch_run import BatchRunner
from consumer.service.defects import defect
from consumer.service.lease import LeaseKeeper
from consumer.service.observation import Observation
from consumer.service.prepare import Preparation, Work
from consumer.service.reconcile import Reconciler
from consumer.service.replacing.follower import Follower
from consumer.service.retrying import retrying
from consumer.service.settle import Settler
from consumer.service.steps import step, trigger_of
from consumer.service.threads import SYSTEM_THREADS, Signal, Threads
from consumer.service.turns import Turns

_log = structlog.get_logger(__name__)

_REPLANS_MAX = 3
"""How often somebody's own run is planned again because columns were changed meanwhile."""


class Offload:
    """Handles the events of the configured streams.

    One instance serves a process; calls for different streams may run at the same time. A backlog is worked on for a
    ``turn`` at least, whatever its batches take; where it is ``crowded`` then, others get theirs. ``dropped`` tells
    the stretches of time that `icehaul drop-hot` has dropped rows of; ``maintain`` does a piece of maintenance, or
    leaves it to an idle hour.
    """

    def __init__(
        self,
        *,
        streams: Mapping[str, Stream],
        source: Source,
        ledger: Ledger,
        backfills: Backfills,
        catalog: Catalog,
        engine: BatchEngine,
        metrics: Metrics,
        heal: Callable[[Stream, DivergenceError], None],
        dropped: Callable[[str], Sequence[Window]],
        owner: str,
        lease: timedelta,
        failpoints: Failpoints,
        threads: Threads = SYSTEM_THREADS,
        turn: timedelta | None = None,
        crowded: Callable[[], bool] = lambda: False,
        maintain: Callable[[BatchContext, Claim], None] = lambda _context, _claim: None,
    ) -> None:
        self._streams = streams
        self._maintain = maintain
        self._heal = heal
        self._source = source
        self._ledger = ledger
        self._catalog = catalog
        self._engine = engine
        self._metrics = metrics
        self._lease = lease
        self._failpoints = failpoints
        self._threads = threads
        self._admission = Admission(ledger=ledger, metrics=metrics, owner=owner, lease=lease, failpoints=failpoints)
        self._preparation = Preparation(source=source, ledger=ledger, catalog=catalog, failpoints=failpoints)
        self._runner = BatchRunner(
            source=source,
            ledger=ledger,
            catalog=catalog,
            engine=engine,
            metrics=metrics,
            failpoints=failpoints,
        )
        self._turns = Turns(runner=self._runner, metrics=metrics, threads=threads, length=turn, crowded=crowded)
        settler = Settler(source=source, ledger=ledger, catalog=catalog, runner=self._runner)
        follower = Follower(
            source=source,
            ledger=ledger,
            catalog=catalog,
            settler=settler,
            runner=self._runner,
            metrics=metrics,
            dropped=dropped,
        )
        self._reconciler = Reconciler(
            source=source,
            ledger=ledger,
            settler=settler,
            follower=follower,
            metrics=metrics,
            dropped=dropped,
            failpoints=failpoints,
        )
        self._backfiller = Backfiller(
            source=source,
            ledger=ledger,
            backfills=backfills,
            runner=self._runner,
            metrics=metrics,
            failpoints=failpoints,
        )

    def handle(self, event: Event, abandoned: Signal) -> None:
        """Offload what the event hints at; returning means that its offset may be committed.

        Args:
            event: the event, valid in form.
            abandoned: set by the runtime when the event's partition is being taken away.

        Raises:
            InvalidEventError: if no such stream is configured.
            LeaseHeldError: if another owner works on the stream; the event has to be held.
            FencedError: if the stream was taken over, or the partition taken away, in the middle.
            TurnOverError: if others wait, and it goes on from the watermark in its next turn.
            TransientError: if not even the ledger could be reached.
        """
        stream = self._stream(event)
        with self._failpoints.around("event.handle"):
            self._handle(stream, event, abandoned)

    def _handle(self, stream: Stream, event: Event, abandoned: Signal) -> None:
        claim = self._admission.admit(stream, event)
        if claim is None:
            return
        self._guarded(stream, event, claim, abandoned, heal=stream.on_divergence is OnDivergence.HEAL)

    def _guarded(self, stream: Stream, event: Event, claim: Claim, abandoned: Signal, *, heal: bool) -> None:
        """Do the work; what needs an operator halts the stream, and parks the event."""
        try:
            self._handle_claimed(stream, event, claim, abandoned)
        except DivergenceError as error:
            if heal:
                self._healed(stream, event, error, abandoned)
            else:
                self._halt(event, claim, error)
        except (StreamError, ConfigurationError) as error:
            self._halt(event, claim, error)
        except IcehaulError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever nobody foresaw
            # A defect must not stop the streams that share the partition: this one is halted.
            _log.exception("stream.defect_found", stream=stream.name)
            self._halt(event, claim, defect(stream, error))

    def _healed(self, stream: Stream, event: Event, found: DivergenceError, abandoned: Signal) -> None:
        """Make the ledger follow the table, and go on; a repair has a lease of its own, so ours is taken again."""
        _log.warning("stream.divergence_found", stream=stream.name, reason=found.message)
        refused: StreamError | None = None
        try:
            self._heal(stream, found)
        except StreamError as error:
            # Where ledger and table agree, it may have been an heir's progress: the next look, by the new claim, tells.
            refused = None if error is found else error
        claim = self._admission.claim(stream)
        if refused is not None:
            self._admission.release(claim)
            self._halt(event, claim, refused)
            return
        self._guarded(stream, event, claim, abandoned, heal=False)

    def run(self, event: Event, abandoned: Signal, again: Window | None = None) -> None:
        """Offload what the event asks for on behalf of somebody who waits for the outcome, not of Kafka.

        The same steps as :meth:`handle`, but nothing is halted and nothing parked: whatever fails is raised, and
        running the same again goes on from the watermark.

        Args:
            event: the event, never sent to Kafka.
            abandoned: set to stop between two batches.
            again: a stretch whose partitions are compared with the record, whatever is known of them.

        Raises:
            LeaseHeldError: if another owner works on the stream.
            StreamError: if the stream is halted, or something needs an operator.
            InvalidEventError, FencedError, TransientError: as :meth:`handle` does.
        """
        stream = self._stream(event)
        check_active(self._admission.register(stream))
        for _ in range(_REPLANS_MAX):
            try:
                self._handle_claimed(stream, event, self._admission.claim(stream), abandoned, again)
            except SchemaMovedError as error:
                moved = error
            else:
                return
        raise moved

    def _stream(self, event: Event) -> Stream:
        stream = self._streams.get(event.stream)
        if stream is None:
            raise InvalidEventError(
                f"event {event.id}: stream {event.stream!r} is not configured",
                remedy="add the stream to the configuration, or correct the producer;"
                f" configured: {', '.join(sorted(self._streams))}",
                reason=InvalidReason.UNKNOWN_STREAM,
            )
        return stream

    def _handle_claimed(
        self, stream: Stream, event: Event, claim: Claim, abandoned: Signal, again: Window | None = None
    ) -> None:
        running = RunningBatch(self._engine)
        with LeaseKeeper(
            self._ledger, claim, self._lease, running.cancel, self._threads, failpoints=self._failpoints
        ) as keeper:
            healed = retrying(stream, abandoned, lambda: self._catalog.heal(stream, claim, final=True))
            seen, work = retrying(stream, abandoned, lambda: self._look(stream, event, healed, again))
            context = BatchContext(
                stream=work.stream,
                work=work,
                trigger=trigger_of(event),
                dependants=dependants_of(stream, self._streams),
                abandoned=abandoned,
                still_ours=keeper.check_for(abandoned),
                started=running.start,
            )
            latest, offloaded = self._turns.run(context, healed)
            watermark = latest.record.watermark
            self._metrics.watermark(stream.name, watermark, self._source.now() - watermark)
            self._reconcile(context, latest, event, seen)
            retrying(stream, abandoned, partial(self._backfiller.step, context, latest, event))
            self._maintain(context, latest)
        self._metrics.event_handled(stream.name, event.type, "offloaded" if offloaded else "idle")

    def _look(self, stream: Stream, event: Event, claim: Claim, again: Window | None) -> tuple[Observation, Work]:
        # What was observed is planned with, so whenever planning is tried again, both are.
        with step(self._metrics, stream.name, "observe"):
            seen = self._reconciler.observe(stream, claim, again)
        with step(self._metrics, stream.name, "plan") as span:
            work = self._preparation.prepare(stream, claim, event.cutoff, table=seen.table, unread=seen.unread)
            span.set_attribute("offload.cutoff", work.cutoff.instant.isoformat())
            span.set_attribute("offload.cutoff.reason", work.cutoff.reason)
            # What needs more than one look at the source fails here, where both looks are repeated.
            work.course.at(claim.record)
        return seen, work

    def _reconcile(self, context: BatchContext, claim: Claim, event: Event, seen: Observation) -> None:
        run = partial(self._reconciler.reconcile, context, claim, event, seen)
        retrying(context.stream, context.abandoned, run)

    def _halt(self, event: Event, claim: Claim, error: IcehaulError) -> None:
        """Halt the stream, and park the event before it counts as done.

        Raises:
            FencedError: if somebody else has taken the stream over: what looked wrong was their progress.
        """
        with self._failpoints.around("stream.halt"):
            halted = self._ledger.halt(event.stream, reason=error.message, remedy=error.remedy, epoch=claim.epoch)
        if not halted:
            raise FencedError(
                f"stream {event.stream}: epoch {claim.epoch} is over, so this halts nothing: {error.message}",
                remedy="nothing has to be done: the new owner goes on from the watermark",
            )
        self._metrics.state(event.stream, halted=True)
        _log.error("stream.halted", stream=event.stream, reason=error.message, remedy=error.remedy)
        self._admission.park(event)


def check_active(record: StreamRecord) -> None:
    """Raise unless the stream may be worked on.

    Raises:
        StreamError: if it is halted, with reason and remedy.
    """
    if record.state is StreamState.HALTED:
        raise StreamError(
            f"stream {record.stream} is halted: {record.halt_reason}",
            remedy=f"{record.halt_remedy}; then run `icehaul resume {record.stream}`",
        )
