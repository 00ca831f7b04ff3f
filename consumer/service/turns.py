"""Working on a backlog in turns: batch after batch, until the cutoff, or until others need the worker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from consumer.domain.batch import Batch
from consumer.domain.errors import TurnOverError
from consumer.ports import Claim, Metrics
from consumer.service.batch_context import BatchContext
from consumer.service.batch_run import BatchRunner
from consumer.service.retrying import retrying
from consumer.service.steps import step
from consumer.service.threads import Threads


class Turns:
    """Runs the batches of an event's course, each planned when the one before it is done.

    Args:
        runner: runs one batch.
        metrics: told how long planning takes.
        threads: their clock measures the turn.
        length: how long a stream may work on while others wait, ``None`` for as long as it takes.
        crowded: whether others wait for a worker.
    """

    def __init__(
        self,
        *,
        runner: BatchRunner,
        metrics: Metrics,
        threads: Threads,
        length: timedelta | None = None,
        crowded: Callable[[], bool] = lambda: False,
    ) -> None:
        self._runner = runner
        self._metrics = metrics
        self._threads = threads
        self._length = length
        self._crowded = crowded

    def run(self, context: BatchContext, claim: Claim) -> tuple[Claim, bool]:
        """Run the batches up to the cutoff; return the claim as they leave it, and whether any of them had rows.

        Raises:
            TurnOverError: if others wait, and the cutoff has not been reached in a turn.
            StreamError, TransientError, FencedError: as the steps of a batch raise them.
        """
        offloaded, began = False, self._threads.monotonic()
        batch = context.work.course.at(claim.record)
        while batch is not None:
            claim = retrying(context.stream, context.abandoned, partial(self._runner.run, context, claim, batch))
            offloaded = offloaded or not batch.empty
            if claim.record.watermark >= context.work.cutoff.instant:
                break
            self._give_way(context, claim, self._threads.monotonic() - began)
            batch = self._plan(context, claim)
        return claim, offloaded

    def _give_way(self, context: BatchContext, claim: Claim, seconds: float) -> None:
        if self._length is not None and seconds >= self._length.total_seconds() and self._crowded():
            raise TurnOverError(
                f"stream {context.stream.name}: its turn is over at {claim.record.watermark.isoformat()}, others wait",
                remedy="nothing to do: it goes on from there in its next turn",
            )

    def _plan(self, context: BatchContext, claim: Claim) -> Batch | None:
        context.still_ours()
        with step(self._metrics, context.stream.name, "plan"):
            return retrying(context.stream, context.abandoned, partial(context.work.course.at, claim.record))
