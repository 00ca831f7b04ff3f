"""Makes tasks of messages, and of what an incident asks for, in the order of their arrival."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic

from consumer.domain.errors import IcehaulError
from consumer.domain.event import Event
from consumer.domain.offset_incident import OffsetIncident
from consumer.service.runtime.ports import M, Partition, RuntimeMetrics
from consumer.service.runtime.reconciling import Reconciling, report
from consumer.service.runtime.work import Assignment, Task

Decode = Callable[[M], tuple[Event | None, IcehaulError | None]]


class Intake(Generic[M]):
    """Numbers what comes in. Not thread-safe: the poll thread owns it.

    Args:
        decode: returns a message's event, or why it is none.
        reconciling: which events to handle because of an incident.
    """

    def __init__(self, decode: Decode[M], reconciling: Reconciling, metrics: RuntimeMetrics) -> None:
        self._decode = decode
        self._reconciling = reconciling
        self._metrics = metrics
        self._received = 0

    def task(self, message: M, assignments: Mapping[Partition, Assignment]) -> Task[M] | None:
        """Return the task of a message; ``None`` where it is not ours any more, or was received before."""
        topic, number, offset = message.topic(), message.partition(), message.offset()
        assignment = assignments.get(Partition(topic or "", -1 if number is None else number))
        if assignment is None or assignment.closing or offset is None:
            return None  # revoked in the same poll, after this message was fetched
        if not assignment.tracker.received(offset):
            return None
        event, error = self._decode(message)
        self._received += 1
        return Task(
            number=self._received,
            lane=("stream", event.stream) if event else ("dead letters", assignment.partition),
            assignment=assignment,
            offset=offset,
            message=message,
            event=event,
            error=error,
        )

    def reconcile(self, incident: OffsetIncident, assignment: Assignment) -> Sequence[Task[M]]:
        """Report an incident, and return the tasks without which nothing of its partition is committed."""
        events = self._reconciling(incident)
        report(incident, events, self._metrics)
        assignment.tracker.begin(incident.start, holds=len(events))
        if assignment.closing:
            return ()  # on its way out: whoever is next finds the same
        tasks: list[Task[M]] = []
        for event in events:
            self._received += 1
            tasks.append(
                Task(
                    number=self._received,
                    lane=("stream", event.stream),
                    assignment=assignment,
                    offset=incident.start,
                    message=None,
                    event=event,
                )
            )
        return tasks
