"""What a batch runs with, besides the batch: the event's context, and what a lost lease cancels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from consumer.domain.stream import Stream
from consumer.ports import BatchEngine, Trigger
from consumer.service.prepare import Work
from consumer.service.threads import Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchContext:
    """What a batch runs with, besides the batch.

    ``still_ours`` raises :class:`~consumer.domain.errors.FencedError` once lease or partition are gone; ``started`` is
    told each batch, so that it can be cancelled; ``dependants`` are the streams that name this one as an upstream.
    """

    stream: Stream
    work: Work
    trigger: Trigger
    dependants: Sequence[str]
    abandoned: Signal
    still_ours: Callable[[], None]
    started: Callable[[UUID], None]


def dependants_of(stream: Stream, streams: Mapping[str, Stream]) -> list[str]:
    """Return the names of the streams that name this one as an upstream."""
    return [name for name, other in streams.items() if stream.name in other.upstreams]


class RunningBatch:
    """The batch that runs now, so that a lost lease can cancel its tasks."""

    def __init__(self, engine: BatchEngine) -> None:
        self._engine = engine
        self._batch: UUID | None = None

    def start(self, batch_id: UUID) -> None:
        """Take note of the batch that runs now."""
        self._batch = batch_id

    def cancel(self) -> None:
        """Cancel the running batch, if there is one."""
        if self._batch is not None:
            self._engine.cancel(self._batch)
