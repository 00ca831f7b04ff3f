"""Commits offsets: per partition, only the contiguous prefix of what is done, each answer awaited and checked."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Generic

import structlog
from opentelemetry.trace import SpanContext

from consumer.failpoints.acting import Failpoints
from consumer.failpoints.effects import EFFECTS
from consumer.service.runtime.deadline import Deadline
from consumer.service.runtime.ports import EventSource, M, Partition, RuntimeMetrics
from consumer.service.runtime.spans import MessagingSpans
from consumer.service.runtime.work import Assignment, Task
from consumer.service.threads import SYSTEM_THREADS, Threads

_RETRY_SECONDS = 0.5
"""Pause after a refused commit; what is done stays done, so haste gains nothing."""
_LAG_SECONDS = 2.0
"""How often the consumer lag is measured."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Commit:
    assignment: Assignment
    offset: int
    started_ns: int


class Acknowledger(Generic[M]):
    """Turns done events into committed offsets. Not thread-safe: the poll thread owns it.

    A partition has one commit on its way at most, and counts as committed only once the broker has said so.
    The poll thread goes on meanwhile: a broker that is away may take its time, the group may not.
    """

    def __init__(
        self,
        source: EventSource[M],
        metrics: RuntimeMetrics,
        spans: MessagingSpans,
        failpoints: Failpoints,
        threads: Threads = SYSTEM_THREADS,
    ) -> None:
        self._failpoints = failpoints
        self._before, self._after = EFFECTS["offset.commit"].points
        self._source = source
        self._metrics = metrics
        self._spans = spans
        self._clock = threads.monotonic
        self._handled: dict[Partition, deque[tuple[int, SpanContext]]] = {}
        self._under_way: dict[Partition, _Commit] = {}
        self._refused: set[Partition] = set()
        self._retry_at = Deadline.after(0, self._clock)
        self._measure_at = Deadline.after(0, self._clock)

    @property
    def waiting(self) -> bool:
        """Whether a commit is under way, or was refused and will be tried again."""
        return bool(self._under_way or self._refused)

    def handled(self, task: Task[M]) -> None:
        """Remember the span of a task that is done, for the commit that will acknowledge it."""
        if task.span is not None:
            self._handled.setdefault(task.assignment.partition, deque()).append((task.offset, task.span))

    def forget(self, partition: Partition) -> None:
        """Forget a partition that is no longer ours; an answer to a commit still under way is ignored."""
        self._handled.pop(partition, None)
        self._under_way.pop(partition, None)
        self._refused.discard(partition)
        self._metrics.consumer_lag(partition, None)

    def commit(self, assignments: Collection[Assignment]) -> None:
        """Begin to commit what is done and not on its way."""
        offsets: dict[Partition, int] = {}
        for assignment in assignments:
            partition, offset = assignment.partition, assignment.tracker.committable
            held_back = partition in self._refused and not self._retry_at.expired
            if offset is not None and not held_back and partition not in self._under_way:
                offsets[partition] = offset
                self._under_way[partition] = _Commit(assignment, offset, time.time_ns())
        if offsets:
            self._failpoints.hit(self._before)
            self._source.commit(offsets)
        if self._measure_at.expired:
            self._measure_at = Deadline.after(_LAG_SECONDS, self._clock)
            self._measure(assignments)

    def commit_now(self, assignments: Collection[Assignment]) -> None:
        """Commit what is done and wait for the answer: the last chance before the partitions are given back."""
        offsets: dict[Partition, int] = {}
        for assignment in assignments:
            offset = assignment.tracker.committable
            if offset is not None:
                offsets[assignment.partition] = offset
                self._under_way[assignment.partition] = _Commit(assignment, offset, time.time_ns())
        if offsets:
            self._failpoints.hit(self._before)
            self.answered(offsets, self._source.commit_now(offsets))

    def answered(self, offsets: Mapping[Partition, int], refused: Mapping[Partition, str]) -> None:
        """Take the broker's answer to a commit."""
        for partition, offset in offsets.items():
            commit = self._under_way.get(partition)
            if commit is None or commit.offset != offset:
                continue  # of an assignment that is over
            del self._under_way[partition]
            self._settle(commit, refused.get(partition))

    def _settle(self, commit: _Commit, reason: str | None) -> None:
        partition = commit.assignment.partition
        spans = self._acknowledged(partition, commit.offset, reason)
        self._spans.committed(partition, commit.offset, spans, commit.started_ns, reason)
        if reason is None:
            commit.assignment.tracker.committed(commit.offset)
            self._refused.discard(partition)
            self._failpoints.hit(self._after)
            return
        self._metrics.commit_error(reason)
        if partition not in self._refused:
            _log.warning("commit.refused", partition=str(partition), offset=commit.offset, reason=reason)
        self._refused.add(partition)
        self._retry_at = Deadline.after(_RETRY_SECONDS, self._clock)

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
