"""What the dispatcher carries: assignments, and the tasks that belong to them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic

from opentelemetry.trace import SpanContext

from consumer.domain.errors import IcehaulError
from consumer.domain.event import Event, EventType
from consumer.service.runtime.offsets import OffsetTracker
from consumer.service.runtime.ports import M, Partition
from consumer.service.threads import SYSTEM_THREADS, Signal


@dataclass(eq=False, slots=True)
class Assignment:
    """One partition from its assignment to its revocation; assigned again, it is another assignment.

    Attributes:
        closing: no task of it is started any more.
        abandon: tasks that still run should give up.
        give_way: leftovers that still run should give up: nobody waits for them.
    """

    partition: Partition
    tracker: OffsetTracker = field(default_factory=OffsetTracker)
    paused: bool = False
    closing: bool = False
    abandon: Signal = field(default_factory=SYSTEM_THREADS.signal)
    give_way: Signal = field(default_factory=SYSTEM_THREADS.signal)


@dataclass(eq=False, slots=True, kw_only=True)
class Task(Generic[M]):
    """A message to be handled, or to be moved to the dead letters; or an event that an incident asks for.

    Attributes:
        lane: tasks of one lane run one after the other, in the order of ``number``.
        offset: the message's; for an incident, where its partition is read on.
        message: ``None`` for an incident: its event was never sent.
        event: the decoded event; ``None`` if the message is no valid event.
        error: why the message can never be handled; set, the task is to send a dead letter.
        span: span under which the event was handled last.
    """

    number: int
    lane: Hashable
    assignment: Assignment
    offset: int
    message: M | None
    event: Event | None = None
    error: IcehaulError | None = None
    span: SpanContext | None = None

    @property
    def stream(self) -> str:
        """Name of the event's stream; empty where there is no valid event."""
        return self.event.stream if self.event else ""

    def acknowledge(self) -> None:
        """Count as done where the partition's offsets are tracked."""
        if self.message is None:
            self.assignment.tracker.release()
        else:
            self.assignment.tracker.done(self.offset)

    def covers(self, other: Task[M]) -> bool:
        """Tell whether handling this task makes handling the ``other`` one superfluous.

        Events are hints to offload up to a cutoff. A trigger that was queued before this task starts and asks
        for no more than it does will find nothing left to do; a partition close also names a partition to
        reconcile, so there only the same close is covered.
        """
        mine, theirs = self.event, other.event
        if mine is None or theirs is None or self.error or other.error:
            return False
        if mine.stream != theirs.stream or theirs.cutoff > mine.cutoff:
            return False
        if theirs.type is not EventType.PARTITION_CLOSED:
            return True
        return (mine.type, mine.partition_id, mine.content_id) == (theirs.type, theirs.partition_id, theirs.content_id)


def merged(tasks: Sequence[Task[M]]) -> tuple[Task[M], ...]:
    """Return the tasks of a lane that are run as one, the one that is run for all of them first.

    That is the last one that covers all that were queued before it: who is behind by several ticks offloads up to the
    latest of them at once, instead of a small batch for each. What it covers behind itself comes along.
    """
    first = 0
    for position in range(1, len(tasks)):
        # Covering is transitive: what the first one covers needs no second look.
        if all(tasks[position].covers(tasks[other]) for other in range(first, position)):
            first = position
    run = tasks[first]
    return (run, *(task for task in tasks if task is not run and run.covers(task)))
