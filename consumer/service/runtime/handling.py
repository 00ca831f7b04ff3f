"""Handling of one task in a worker: span, handler, dead letter, what is left, and what is said of a failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic

import structlog

from consumer.domain.errors import IcehaulError, InvalidEventError, Reaction
from consumer.domain.event import Event
from consumer.domain.invalid_reason import InvalidReason
from consumer.failpoints.acting import Failpoints
from consumer.service.runtime.failures import Verdict, judge
from consumer.service.runtime.ports import DeadLetters, Handler, IdleWork, M, RuntimeMetrics
from consumer.service.runtime.spans import MessagingSpans
from consumer.service.runtime.work import Task

_log = structlog.get_logger(__name__)


class Handling(Generic[M]):
    """Decodes messages, and runs the handler or the dead-letter sink on them."""

    def __init__(
        self,
        *,
        decode: Callable[[M], Event],
        handler: Handler,
        dead_letters: DeadLetters[M],
        metrics: RuntimeMetrics,
        spans: MessagingSpans,
        failpoints: Failpoints,
        idle: IdleWork | None = None,
    ) -> None:
        self._idle = idle
        self._decode = decode
        self._handler = handler
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._spans = spans
        self._failpoints = failpoints

    def decode(self, message: M) -> tuple[Event | None, IcehaulError | None]:
        """Return the message's event, or why it is none."""
        try:
            return self._decode(message), None
        except InvalidEventError as error:
            return None, error
        except Exception as error:  # noqa: BLE001 - the same bytes would fail the same way for ever: go on
            _log.error("event.undecodable", topic=message.topic(), offset=message.offset(), exc_info=error)
            return None, InvalidEventError(
                f"event could not be decoded: {type(error).__name__}: {error}",
                remedy="report the dead letter as a defect; send the event again once it is fixed",
            )

    def execute(self, tasks: Sequence[Task[M]]) -> None:
        """Handle the first task on behalf of all, in a worker; when this returns, they are done.

        Raises:
            Exception: whatever the handler or the dead-letter sink raised: the tasks are not done.
        """
        head = tasks[0]
        place = f"{head.assignment.partition}@{head.offset}"
        with (
            self._spans.process(head.assignment.partition, head.offset, [task.event for task in tasks]) as span,
            structlog.contextvars.bound_contextvars(stream=head.stream, event_at=place),
        ):
            for task in tasks:
                task.span = span.get_span_context()
            if head.event is not None and head.error is None:
                self._handle(head.event, tasks)
            for task in tasks:
                if task.error is not None:
                    self._bury(task, task.error)

    def leaves(self, task: Task[M]) -> bool:
        """Tell whether a task that is done leaves something for an idle hour."""
        return self._idle is not None and task.event is not None and self._idle.leaves(task.stream)

    def clear(self, task: Task[M]) -> bool:
        """Do a piece of what a task has left, in the trace of its event; tell whether there may be more."""
        if self._idle is None:
            return False
        with self._spans.leftover(task.span), structlog.contextvars.bound_contextvars(stream=task.stream):
            try:
                return self._idle.clear(task.stream, task.assignment.give_way)
            except Exception as error:  # noqa: BLE001 - the events go on, whatever nobody foresaw
                _log.error("leftover.failed", exc_info=error)
                return False

    def failed(self, tasks: Sequence[Task[M]], error: Exception, attempt: int) -> Verdict:
        """Log and count a failed attempt, and say when to try again."""
        head, verdict = tasks[0], judge(error, attempt)
        log = _log.bind(
            stream=head.stream,
            event_at=f"{head.assignment.partition}@{head.offset}",
            attempt=attempt,
            error=f"{type(error).__name__}: {error}",
        )
        if head.assignment.closing:
            log.info("event.abandoned")
            return verdict
        if verdict.delay:
            self._metrics.retry(head.stream, type(error).__name__)
        if verdict.unexpected:
            log.error("event.failed", retry_in=round(verdict.delay, 2), exc_info=error)
        elif verdict.outcome == "failed":
            log.warning("event.failed", retry_in=round(verdict.delay, 2))
        elif attempt == 1:
            log.info("event.held", why=verdict.outcome)
        return verdict

    def _handle(self, event: Event, tasks: Sequence[Task[M]]) -> None:
        try:
            self._handler(event, tasks[0].assignment.abandon)
        except IcehaulError as error:
            if error.reaction is not Reaction.DEAD_LETTER:
                raise
            for task in tasks:
                task.error = error

    def _bury(self, task: Task[M], error: IcehaulError) -> None:
        if task.message is None:
            _log.error("event.impossible", stream=task.stream, error=error.message, remedy=error.remedy)
            return  # an incident asked for it, and no message
        with self._failpoints.around("letter.send"):
            self._dead_letters.send(task.message, error)
        reason = error.reason if isinstance(error, InvalidEventError) else InvalidReason.OTHER
        self._metrics.dead_letter(reason)
        _log.warning("event.dead_lettered", offset=task.offset, reason=reason, error=error.message, remedy=error.remedy)
