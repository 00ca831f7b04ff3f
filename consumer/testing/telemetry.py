"""Telemetry that is kept in memory."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from consumer.domain.table_size import TableSize
from consumer.service.runtime.ports import Partition


class MemoryTracing:
    """A tracer whose finished spans can be looked at."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer: Tracer = self._provider.get_tracer("icehaul")

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """All spans that have ended, in the order of their ends."""
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> Sequence[ReadableSpan]:
        """The spans of one name."""
        return [span for span in self.spans if span.name == name]


class MemoryMetrics:
    """All metrics as counts and last values, by name and labels joined by blanks; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.values: dict[str, float] = {}

    def _count(self, *name: str, by: int = 1) -> None:
        with self._lock:
            self.counts[" ".join(name)] += by

    def _set(self, value: float, *name: str) -> None:
        with self._lock:
            self.values[" ".join(name)] = value

    def event_handled(self, stream: str, type_: str, outcome: str) -> None:
        """Count an event by how its handling ended."""
        self._count("event", stream, type_, outcome)

    def step(self, stream: str, step: str, seconds: float) -> None:
        """Record how long a step of a batch took."""
        self._count("step", stream, step)
        self._set(seconds, "step", stream, step)

    def unit(self, seconds: float) -> None:
        """Count a unit."""
        self._count("unit")
        self._set(seconds, "unit")

    def batch(self, stream: str, kind: str, outcome: str, *, rows: int, bytes: int, seconds: float) -> None:
        """Count a batch, its rows and its bytes."""
        self._count("batch", stream, kind, outcome)
        self._count("rows", stream, kind, outcome, by=rows)
        self._count("bytes", stream, kind, outcome, by=bytes)
        self._set(seconds, "batch", stream, kind, outcome)

    def watermark(self, stream: str, watermark: datetime, lag: timedelta) -> None:
        """Record a stream's watermark and lag."""
        self._set(watermark.timestamp(), "watermark", stream)
        self._set(lag.total_seconds(), "lag", stream)

    def state(self, stream: str, *, halted: bool) -> None:
        """Record whether a stream is halted."""
        self._set(halted, "halted", stream)

    def time_to_loss(self, stream: str, seconds: float) -> None:
        """Record a stream's time to loss."""
        self._set(seconds, "time_to_loss", stream)

    def forget(self, stream: str) -> None:
        """Forget the values of a stream."""
        with self._lock:
            for name in [name for name in self.values if stream in name.split()]:
                del self.values[name]

    def table(self, stream: str, size: TableSize) -> None:
        """Record the size of a stream's target."""
        self._set(size.files, "files", stream)
        self._set(size.bytes, "bytes", stream)
        self._set(size.small_files_ratio, "small_files_ratio", stream)

    def superfluous_files(self, stream: str, files: int, size: int) -> None:
        """Record how many files of a stream's table wait for their removal, and their bytes."""
        self._set(files, "superfluous_files", stream)
        self._set(size, "superfluous_bytes", stream)

    def removed_files(self, stream: str, files: int, size: int) -> None:
        """Count files that were deleted, and their bytes."""
        self._count("removed_files", stream, by=files)
        self._count("removed_bytes", stream, by=size)

    def backfill(self, stream: str, remaining: timedelta) -> None:
        """Record how much time of a stream's history is still to be backfilled."""
        self._set(remaining.total_seconds(), "backfill", stream)

    def windows_waiting(self, stream: str, windows: int) -> None:
        """Record how many windows wait to be replaced."""
        self._set(windows, "windows_waiting", stream)

    def maintained(self, stream: str, task: str, outcome: str, *, files: int) -> None:
        """Count a piece of maintenance."""
        self._count("maintained", stream, task, outcome)
        self._count("maintained_files", stream, task, by=files)

    def audit_check(self, stream: str, check: str, *, failed: bool) -> None:
        """Record how a check ended that could be made."""
        self._set(failed, "audit", stream, check)

    def audited(self, stream: str) -> None:
        """Count the audits of which every check could be made."""
        self._count("audited", stream)

    def unknown_commit(self, stream: str, outcome: str) -> None:
        """Count an unknown commit."""
        self._count("unknown_commit", stream, outcome)

    def conflict(self, stream: str) -> None:
        """Count a restaged publish."""
        self._count("conflict", stream)

    def lease(self, stream: str) -> None:
        """Count a lease epoch."""
        self._count("lease", stream)

    def dead_letter(self, reason: str) -> None:
        """Count a dead letter."""
        self._count("dead_letter", reason)

    def polled(self, topic: str, messages: int) -> None:
        """Count messages received."""
        self._count("polled", topic, by=messages)

    def heartbeat(self) -> None:
        """Count a turn of the poll loop."""
        self._count("heartbeat")

    def retry(self, stream: str, cause: str) -> None:
        """Count a failed attempt."""
        self._count("retry", stream, cause)

    def in_flight(self, events: int) -> None:
        """Record how many events are received and not done."""
        self._set(events, "in_flight")

    def assigned(self, partitions: int) -> None:
        """Record how many partitions are owned."""
        self._set(partitions, "assigned")

    def rebalance(self, kind: str) -> None:
        """Count a change of the assignment."""
        self._count("rebalance", kind)

    def consumer_lag(self, partition: Partition, messages: int | None) -> None:
        """Record a partition's lag."""
        if messages is not None:
            self._set(messages, "consumer_lag", str(partition))

    def commit_error(self, reason: str) -> None:
        """Count a refused commit."""
        self._count("commit_error", reason)

    def broker_error(self, reason: str) -> None:
        """Count a client's error."""
        self._count("broker_error", reason)

    def offset_incident(self, kind: str) -> None:
        """Count an unusable offset."""
        self._count("offset_incident", kind)

    def relayed(self, events: int) -> None:
        """Count the outbox's events that were relayed."""
        self._count("relayed", by=events)

    def relay_failed(self) -> None:
        """Count a look at the outbox that failed."""
        self._count("relay_failed")

    def sent(self, type_: str, events: int) -> None:
        """Count events that were sent."""
        self._count("sent", type_, by=events)

    def active(self, *, active: bool) -> None:
        """Record whether the emitter is active."""
        self._set(active, "active")

    def round_ended(self, *, unseen: int) -> None:
        """Count a round, and record how many streams it could not look at."""
        self._count("round")
        self._set(unseen, "unseen")
