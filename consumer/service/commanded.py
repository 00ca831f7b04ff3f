"""What a batch has to know that an operator's command asks for: no event has brought it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consumer.domain.event_factory import tick
from consumer.domain.stream import Stream
from consumer.ports import Claim
from consumer.service.batch_context import BatchContext, RunningBatch
from consumer.service.prepare import Preparation
from consumer.service.steps import trigger_of
from consumer.service.threads import Signal


def commanded(
    preparation: Preparation,
    stream: Stream,
    claim: Claim,
    running: RunningBatch,
    *,
    abandoned: Signal,
    still_ours: Callable[[], None],
    dependants: Sequence[str] = (),
) -> BatchContext:
    """Return the context of batches on somebody's word, as if a tick had asked for what is done already.

    Args:
        preparation: compares source, target and ledger.
        stream: the stream.
        claim: the lease on it.
        running: told which batch runs.
        abandoned: set when it is to end; nobody sets it for a command, which is ended by its lease.
        still_ours: raises once the lease is lost.
        dependants: names of the streams that are woken by what is published.

    Raises:
        StreamError, TransientError: as :meth:`Preparation.prepare` raises them.
    """
    event = tick(stream=stream.name, boundary=claim.record.watermark)
    work = preparation.prepare(stream, claim, event.cutoff)
    return BatchContext(
        stream=work.stream,
        work=work,
        trigger=trigger_of(event),
        dependants=dependants,
        abandoned=abandoned,
        still_ours=still_ours,
        started=running.start,
    )
