"""Commits offsets: synchronously, per partition, only the contiguous prefix of what is done."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection
from typing import Generic

import structlog
from opentelemetry.trace import SpanContext

from consumer.service.runtime.deadline import Deadline
from consumer.service.runtime.ports import EventSource, M, Partition, RuntimeMetrics
from consumer.service.runtime.spans import MessagingSpans
from consumer.service.runtime.work import Assignment, Task

_RETRY_SECONDS = 0.5
"""Pause after a refused commit; what is done stays done, so haste gains nothing."""
_LAG_SECONDS = 2.0
"""How often the consumer lag is measured."""

_log = structlog.get_logger(__name__)


class Acknowledger(Generic[M]):
    """Turns done events into committed offsets. Not thread-safe: the poll thread owns it."""

    def __init__(self, source: EventSource[M], metrics: RuntimeMetrics, spans: MessagingSpans) -> None:
        self._source = source
        self._metrics = metrics
        self._spans = spans
        self._handled: dict[Partition, deque[tuple[int, SpanContext]]] = {}
        self._refused: set[Partition] = set()
        self._retry_at = Deadline.after(0)
        self._measure_at = Deadline.after(0)

    @property
    def waiting(self) -> bool:
        """Whether a commit was refused and will be tried again."""
        return bool(self._refused)

    def handled(self, task: Task[M]) -> None:
        """Remember the span of a task that is done, for the commit that will acknowledge it."""
        if task.span is not None:
            self._handled.setdefault(task.assignment.partition, deque()).append((task.offset, task.span))

    def forget(self, partition: Partition) -> None:
        """Forget a partition that is no longer ours."""
        self._handled.pop(partition, None)
        self._refused.discard(partition)
        self._metrics.consumer_lag(partition, None)

    def commit(self, assignments: Collection[Assignment], *, last_chance: bool = False) -> None:
        """Commit what is done; with ``last_chance`` also what was refused a moment ago."""
        hold_back = not last_chance and not self._retry_at.expired
        offsets: dict[Partition, int] = {}
        for assignment in assignments:
            offset = assignment.tracker.committable
            if offset is not None and not (hold_back and assignment.partition in self._refused):
                offsets[assignment.partition] = offset
        if offsets:
            self._commit(offsets, {assignment.partition: assignment for assignment in assignments})
        if self._measure_at.expired:
            self._measure_at = Deadline.after(_LAG_SECONDS)
            self._measure(assignments)

    def _commit(self, offsets: dict[Partition, int], assignments: dict[Partition, Assignment]) -> None:
        started_ns = time.time_ns()
        refused = self._source.commit(offsets)
        for partition, offset in offsets.items():
            reason = refused.get(partition)
            self._spans.committed(partition, offset, self._acknowledged(partition, offset, reason), started_ns, reason)
            if reason is None:
                assignments[partition].tracker.committed(offset)
                self._refused.discard(partition)
                continue
            self._metrics.commit_error(reason)
            if partition not in self._refused:
                _log.warning("commit.refused", partition=str(partition), offset=offset, reason=reason)
            self._refused.add(partition)
        if refused:
            self._retry_at = Deadline.after(_RETRY_SECONDS)

    def _acknowledged(self, partition: Partition, offset: int, reason: str | None) -> list[SpanContext]:
        """Return the spans of the events before ``offset``; unless the commit was refused, they are settled."""
        handled = self._handled.get(partition, deque())
        spans = [span for done, span in handled if done < offset]
        if reason is None:
            self._handled[partition] = deque(entry for entry in handled if entry[0] >= offset)
        return spans

    def _measure(self, assignments: Collection[Assignment]) -> None:
        ends = self._source.ends([assignment.partition for assignment in assignments])
        for assignment in assignments:
            end, position = ends.get(assignment.partition), assignment.tracker.position
            if end is not None and position is not None:
                self._metrics.consumer_lag(assignment.partition, max(0, end - position))
