"""Rewinding: under the leases of the stream and its dependants, everything above an instant is taken back at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from consumer.domain.batch import Batch, BatchKind, BatchStatus, Remainder, Replacement, Rewind
from consumer.domain.errors import LedgerUnavailableError, UnknownCommitError
from consumer.domain.fingerprint import EMPTY
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.failpoints.acting import Failpoints
from consumer.ports import BatchEngine, Catalog, Claim, Ledger, Metrics, Source, StreamRecord
from consumer.service.batch_account import BatchOutcome, accounted
from consumer.service.batch_context import BatchContext, RunningBatch, dependants_of
from consumer.service.batch_run import BatchRunner
from consumer.service.commanded import commanded
from consumer.service.lease import LeaseKeeper
from consumer.service.offload import check_active
from consumer.service.prepare import Preparation
from consumer.service.retrying import retrying
from consumer.service.rewinding.examined import Examined, Verdict, Wish
from consumer.service.rewinding.ports import RewindLedger
from consumer.service.rewinding.review import Review
from consumer.service.threads import SYSTEM_THREADS, Threads

_log = structlog.get_logger(__name__)


class Rewinds:
    """Sets streams back. Safe to repeat after any failure: where it was done, there is nothing left to do."""

    def __init__(
        self,
        *,
        streams: Mapping[str, Stream],
        review: Review,
        rewinds: RewindLedger,
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
        self._rewinds = rewinds
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
        self._preparation = Preparation(source=source, ledger=ledger, catalog=catalog, failpoints=failpoints)

    def rewind(self, stream: Stream, wish: Wish) -> Examined:
        """Set a stream back to an instant, unless something speaks against it; tell what was found and done.

        Nothing is worked on meanwhile, neither of the stream nor of the streams that are derived from it: what these
        have planned must not reach beyond the watermark that is set back.

        Raises:
            ConfigurationError: if the stream can't be set back to that instant.
            LeaseHeldError: if a consumer works on one of these streams at this moment.
            FencedError: if a lease was lost on the way.
            StreamError, TransientError: as the steps of a batch raise them.
        """
        check_active(self._ledger.register(stream.name, stream.begins))
        running = RunningBatch(self._engine)
        with ExitStack() as leases:
            claim, keeper = self._hold(leases, stream, running.cancel)
            others = [
                self._hold(leases, self._streams[name], running.cancel) for name in dependants_of(stream, self._streams)
            ]
            check_active(claim.record)

            def still_ours() -> None:
                for one in (keeper, *(other for _, other in others)):
                    one.check()

            context = commanded(
                self._preparation, stream, claim, running, abandoned=self._threads.signal(), still_ours=still_ours
            )
            held = {other.stream: other.epoch for other, _ in others}
            attempt = _Attempt(context=context, claim=claim, wish=wish, held=held)
            return retrying(stream, context.abandoned, lambda: self._attempt(attempt))

    def _hold(self, leases: ExitStack, stream: Stream, on_lost: Callable[[], None]) -> tuple[Claim, LeaseKeeper]:
        self._ledger.register(stream.name, stream.begins)
        with self._failpoints.around("lease.claim"):
            claim = self._ledger.claim(stream.name, self._owner, self._lease)
        keeper = LeaseKeeper(self._ledger, claim, self._lease, on_lost, self._threads, failpoints=self._failpoints)
        entered = leases.enter_context(keeper)
        return self._catalog.heal(stream, claim, final=True), entered

    def _attempt(self, attempt: _Attempt) -> Examined:
        """Look at the stream as it is now, and rewind it if nothing speaks against that."""
        stream = attempt.context.stream
        attempt.context.still_ours()
        record = self._ledger.read([stream.name])[stream.name]
        found = self._review.examine(stream, record, attempt.wish)
        if found.verdict is Verdict.THERE and attempt.batch is not None:
            # An earlier attempt has landed, though its answer was lost.
            return self._done(attempt, attempt.found or found, attempt.batch)
        if found.verdict is not Verdict.POSSIBLE or found.rewind is None:
            return found
        rewind = self._rewind(attempt.context, record, found, replace(found.rewind, held=attempt.held))
        attempt.found, attempt.batch = found, self._batch(attempt.context, record, found, rewind)
        claim = replace(attempt.claim, record=record)
        with self._failpoints.around("watermark.rewind"):
            if found.filled:
                self._runner.run(attempt.context, claim, attempt.batch)
            else:
                with accounted(attempt.context, attempt.batch) as account:
                    self._set_back(attempt.context, claim, attempt.batch, rewind)
                    account.without_rows(BatchOutcome.EMPTY)
        return self._done(attempt, found, attempt.batch)

    def _set_back(self, context: BatchContext, claim: Claim, batch: Batch, rewind: Rewind) -> None:
        try:
            self._rewinds.set_back(claim, batch, rewind, context.trigger)
        except UnknownCommitError:
            found = retrying(context.stream, context.abandoned, lambda: self._ledger.resolve(batch.stream, batch.id))
            if found is None or found.status is not BatchStatus.EMPTY:
                raise LedgerUnavailableError(
                    f"stream {batch.stream}: the rewind to {batch.window.lower.isoformat()} did not land",
                    remedy="nothing to do: it is tried again",
                ) from None

    def _done(self, attempt: _Attempt, found: Examined, batch: Batch) -> Examined:
        published = self._ledger.resolve(batch.stream, batch.id)
        snapshot_id = None if published is None else published.snapshot_id
        _log.info(
            "stream.rewound",
            stream=batch.stream,
            to=batch.window.lower.isoformat(),
            watermark=batch.window.upper.isoformat(),
            generation=batch.proves,
            snapshot=snapshot_id,
            reason=attempt.wish.reason,
        )
        return replace(found, verdict=Verdict.REWOUND, snapshot_id=snapshot_id)

    def _rewind(self, context: BatchContext, record: StreamRecord, found: Examined, rewind: Rewind) -> Rewind:
        """Return the rewind with what it leaves of the window that straddles the instant, under an id of its own."""
        if found.kept is None:
            return rewind
        window, content = found.kept
        following = context.work.identity(record.generation + 1)
        left = following.batch_id(BatchKind.WINDOW, window)
        return replace(rewind, remainder=Remainder(id=left, window=window, content=content, units=found.files.own))

    def _batch(self, context: BatchContext, record: StreamRecord, found: Examined, rewind: Rewind) -> Batch:
        identity = context.work.identity(record.generation)
        window = Window(lower=rewind.watermark, upper=record.watermark)
        return Batch(
            id=identity.batch_id(BatchKind.REWIND, window),
            stream=context.stream.name,
            kind=BatchKind.REWIND,
            window=window,
            generation=record.generation,
            units=found.files.units,
            replacement=Replacement(content=EMPTY, files=found.files.paths),
            rewind=rewind,
        )


@dataclass(slots=True, kw_only=True)
class _Attempt:
    """One call of :meth:`Rewinds.rewind`, with what its last attempt has found and tried.

    ``held`` are the epochs of the leases on dependants.
    """

    context: BatchContext
    claim: Claim
    wish: Wish
    held: Mapping[str, int]
    found: Examined | None = None
    batch: Batch | None = None
