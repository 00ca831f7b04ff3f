"""Metrics for Prometheus: base units, prefix ``icehaul_``, bounded labels; see ``docs/reference/metrics.md``."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from consumer.adapters.telemetry import catalogue
from consumer.adapters.telemetry.catalogue import Metric, Role
from consumer.adapters.telemetry.disks import space
from consumer.adapters.telemetry.families import Family, Vocabulary
from consumer.adapters.telemetry.labels import STREAM
from consumer.adapters.telemetry.tracing import sampled_trace
from consumer.domain.batch import BatchKind
from consumer.domain.table_size import TableSize
from consumer.service.runtime.ports import Partition

_NAMESPACE = "icehaul"
_PUBLISHED = "published"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 900)


class PrometheusMetrics:
    """The metrics of a process: of service, runtime, relay and emitter.

    Histograms have no label for the stream: 1,000 streams would be 100,000 series of them alone.

    Args:
        streams: the configured streams; what names another one is not counted by stream.
    """

    def __init__(self, streams: Collection[str] = ()) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(namespace=_NAMESPACE, registry=self.registry)
        self._vocabulary = Vocabulary(streams)
        self._families = {
            one: Family(one, self._vocabulary) for one in catalogue.OWN if one.kind in {"counter", "gauge"}
        }
        self._steps = self._histogram(catalogue.STEP_SECONDS)
        self._durations = self._histogram(catalogue.BATCH_SECONDS)
        self._units = self._histogram(catalogue.UNIT_SECONDS)
        self._role: Role | None = None
        self._at_scrape: list[Callable[[], None]] = []

    def begin(self, role: Role, version: str) -> None:
        """Tell what this process is, and make the series whose labels are known beforehand."""
        self._role = role
        for metric, family in self._families.items():
            if metric.kind == "counter" and metric.role in {role, None}:
                family.begin()
        self._set(catalogue.BUILD, 1, role, version)

    def at_scrape(self, measure: Callable[[], None]) -> None:
        """Let ``measure``, which must be quick and raise nothing, set gauges before each rendering."""
        self._at_scrape.append(measure)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics in the format that the ``Accept`` header asks for, and its content type."""
        for measure in self._at_scrape:
            measure()
        encoder, content_type = choose_encoder(accept)
        openmetrics = content_type.startswith("application/openmetrics-text")
        lines: list[str] = []
        for metric, family in self._families.items():
            if self._role is None or metric.role in {self._role, None}:
                lines.extend(family.render(openmetrics=openmetrics))
        # In OpenMetrics the encoder's text ends the whole.
        return "".join(lines).encode() + encoder(self.registry), content_type

    def _histogram(self, metric: Metric) -> Histogram:
        names = [label.name for label in metric.labels]
        return Histogram(metric.name, metric.meaning, names, registry=self.registry, buckets=_SECONDS)

    def _observe(self, histogram: Histogram, metric: Metric, seconds: float, *values: str) -> None:
        admitted = self._vocabulary.all_of(metric, values)
        if admitted is not None:
            (histogram.labels(*admitted) if admitted else histogram).observe(seconds, sampled_trace())

    def _add(self, metric: Metric, amount: float, *values: str) -> None:
        self._families[metric].add(amount, *values)

    def _set(self, metric: Metric, value: float, *values: str) -> None:
        self._families[metric].set(value, *values)

    # ------------------------------------------------------------------------------------ process

    def disks(self, directories: Mapping[str, Path]) -> None:
        """Record size and free space where the process writes, by the directory's purpose."""
        for purpose, directory in directories.items():
            found = space(directory)
            if found is not None:
                self._set(catalogue.DISK_FREE, found.free, purpose)
                self._set(catalogue.DISK_SIZE, found.size, purpose)

    def engine(self, *, ready: bool, jobs: int) -> None:
        """Record whether a Spark session is running, and how many jobs are."""
        self._set(catalogue.ENGINE_READY, ready)
        self._set(catalogue.ENGINE_JOBS, jobs)

    # ----------------------------------------------------------------------------------- service

    def event_handled(self, stream: str, type_: str, outcome: str) -> None:
        """Count an event by how its handling ended."""
        self._add(catalogue.EVENTS, 1, stream, type_, outcome)

    def step(self, stream: str, step: str, seconds: float) -> None:  # noqa: ARG002 - the trace has the stream
        """Record how long a step of a batch took."""
        self._observe(self._steps, catalogue.STEP_SECONDS, seconds, step)

    def unit(self, seconds: float) -> None:
        """Record how long the task of a unit took."""
        self._observe(self._units, catalogue.UNIT_SECONDS, seconds)

    def batch(self, stream: str, kind: str, outcome: str, *, rows: int, bytes: int, seconds: float) -> None:
        """Count a batch by its outcome, with rows and bytes where it was published."""
        self._add(catalogue.BATCHES, 1, stream, kind, outcome)
        self._observe(self._durations, catalogue.BATCH_SECONDS, seconds, kind, outcome)
        if outcome != _PUBLISHED or kind == BatchKind.MAINTENANCE:
            # A rewrite has no rows of its own, and is no sign that the stream gets on.
            return
        self._add(catalogue.ROWS, rows, stream, kind, outcome)
        self._add(catalogue.BYTES, bytes, stream, kind, outcome)
        self._set(catalogue.SUCCESS, time.time(), stream)
        self._set(catalogue.LAST_BATCH, seconds, stream)
        if kind == BatchKind.SUPPLEMENT:
            self._add(catalogue.LATE_ROWS, rows, stream)

    def watermark(self, stream: str, watermark: datetime, lag: timedelta) -> None:
        """Record a stream's watermark and lag."""
        self._set(catalogue.WATERMARK, watermark.timestamp(), stream)
        self._set(catalogue.LAG, lag.total_seconds(), stream)

    def state(self, stream: str, *, halted: bool) -> None:
        """Record whether a stream is halted."""
        self._set(catalogue.HALTED, halted, stream)

    def time_to_loss(self, stream: str, seconds: float) -> None:
        """Record a stream's time to loss."""
        self._set(catalogue.TIME_TO_LOSS, seconds, stream)

    def backfill(self, stream: str, remaining: timedelta) -> None:
        """Record how much time of a stream's history is still to be backfilled."""
        self._set(catalogue.BACKFILL, remaining.total_seconds(), stream)

    def maintained(self, stream: str, task: str, outcome: str, *, files: int) -> None:
        """Count a piece of maintenance by its outcome, and by how many files the table has less."""
        self._add(catalogue.MAINTAINED, 1, stream, task, outcome)
        self._add(catalogue.FILES_GONE, max(files, 0), stream, task)

    def table(self, stream: str, size: TableSize) -> None:
        """Record the live data files of a stream's target."""
        self._set(catalogue.TABLE_FILES, size.files, stream)
        self._set(catalogue.TABLE_BYTES, size.bytes, stream)
        self._set(catalogue.SMALL_FILES, size.small_files_ratio, stream)

    def superfluous_files(self, stream: str, files: int, size: int) -> None:
        """Record how many files of a stream's table wait for their removal, and their bytes."""
        self._set(catalogue.SUPERFLUOUS_FILES, files, stream)
        self._set(catalogue.SUPERFLUOUS_BYTES, size, stream)
        # A rate needs the count from before the first one.
        self.removed_files(stream, 0, 0)

    def removed_files(self, stream: str, files: int, size: int) -> None:
        """Count files that were deleted, and their bytes."""
        self._add(catalogue.REMOVED_FILES, files, stream)
        self._add(catalogue.REMOVED_BYTES, size, stream)

    def forget(self, stream: str) -> None:
        """Remove every series of a stream, which is not there any more."""
        for metric, family in self._families.items():
            if metric.labels and metric.labels[0] is STREAM:
                family.remove(stream)

    def windows_waiting(self, stream: str, windows: int) -> None:
        """Record how many windows wait for the next event to be replaced."""
        self._set(catalogue.WAITING, windows, stream)

    def unknown_commit(self, stream: str, outcome: str) -> None:
        """Count an unknown commit by what the read-back found."""
        self._add(catalogue.UNKNOWN, 1, stream, outcome)

    def conflict(self, stream: str) -> None:
        """Count a publish that had to restage because the table had moved."""
        self._add(catalogue.CONFLICTS, 1, stream)

    def lease(self, stream: str) -> None:
        """Count a change of a stream's lease epoch; what its new owner may meet is counted from 0 on."""
        self._add(catalogue.LEASES, 1, stream)
        for metric in (catalogue.UNKNOWN, catalogue.CONFLICTS, catalogue.LATE_ROWS):
            self._families[metric].begin(stream)

    def audit_check(self, stream: str, check: str, *, failed: bool) -> None:
        """Record how a check ended that could be made."""
        self._set(catalogue.AUDIT_FAILURES, failed, stream, check)

    def audited(self, stream: str) -> None:
        """Record that every check of a stream could be made now."""
        self._set(catalogue.AUDITED, time.time(), stream)

    def dead_letter(self, reason: str) -> None:
        """Count a dead letter by reason."""
        self._add(catalogue.DEAD_LETTERS, 1, reason)

    # ----------------------------------------------------------------------------------- runtime

    def polled(self, topic: str, messages: int) -> None:
        """Count messages received."""
        self._add(catalogue.RECEIVED, messages, topic)

    def heartbeat(self) -> None:
        """Record that the poll loop has just turned."""
        self._set(catalogue.HEARTBEAT, time.time())

    def retry(self, stream: str, cause: str) -> None:
        """Count an attempt that failed, by the class of its error."""
        self._add(catalogue.RETRIES, 1, stream, cause)

    def in_flight(self, events: int) -> None:
        """Record how many events are received and not done."""
        self._set(catalogue.IN_FLIGHT, events)

    def assigned(self, partitions: int) -> None:
        """Record how many partitions this member owns."""
        self._set(catalogue.ASSIGNED, partitions)

    def rebalance(self, kind: str) -> None:
        """Count a change of the assignment."""
        self._add(catalogue.REBALANCES, 1, kind)

    def consumer_lag(self, partition: Partition, messages: int | None) -> None:
        """Record how many messages are not acknowledged; ``None`` forgets the partition."""
        values = (partition.topic, str(partition.number))
        if messages is None:
            self._families[catalogue.CONSUMER_LAG].remove(*values)
        else:
            self._set(catalogue.CONSUMER_LAG, messages, *values)

    def commit_error(self, reason: str) -> None:
        """Count a partition whose offset commit was refused."""
        self._add(catalogue.COMMIT_ERRORS, 1, reason)

    def broker_error(self, reason: str) -> None:
        """Count an error that the Kafka client reported."""
        self._add(catalogue.CLIENT_ERRORS, 1, reason)

    def offset_incident(self, kind: str) -> None:
        """Count a committed offset that could not be used."""
        self._add(catalogue.INCIDENTS, 1, kind)

    # -------------------------------------------------------------------------- relay and emitter

    def relayed(self, events: int) -> None:
        """Count the outbox's events that one look has relayed, and record that it succeeded."""
        self._add(catalogue.RELAYED, events)
        self._set(catalogue.RELAY_SUCCESS, time.time())

    def relay_failed(self) -> None:
        """Count a look at the outbox that failed."""
        self._add(catalogue.RELAY_FAILURES, 1)

    def sent(self, type_: str, events: int) -> None:
        """Count events that Kafka has acknowledged."""
        self._add(catalogue.SENT, events, type_)

    def active(self, *, active: bool) -> None:
        """Record whether this emitter holds the lease."""
        self._set(catalogue.ACTIVE, active)

    def round_ended(self, *, unseen: int) -> None:
        """Record that a round has ended, and how many streams it could not look at."""
        self._set(catalogue.BLIND, unseen)
        self._set(catalogue.ROUND, time.time())
