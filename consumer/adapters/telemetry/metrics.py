"""Metrics for Prometheus: base units, prefix ``icehaul_``, bounded labels."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from consumer.adapters.telemetry.tracing import sampled_trace
from consumer.service.runtime.ports import Partition

_NAMESPACE = "icehaul"
_PUBLISHED = "published"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 900)


class PrometheusMetrics:
    """Both the service's and the runtime's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(namespace=_NAMESPACE, registry=self.registry)
        self._make_service_metrics()
        self._make_runtime_metrics()

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics in the format that the ``Accept`` header asks for, and its content type."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self.registry), content_type

    # ------------------------------------------------------------------------------------ making

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(name, documentation, labels, namespace=_NAMESPACE, registry=self.registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(name, documentation, labels, namespace=_NAMESPACE, registry=self.registry)

    def _histogram(self, name: str, documentation: str, *labels: str) -> Histogram:
        return Histogram(name, documentation, labels, namespace=_NAMESPACE, registry=self.registry, buckets=_SECONDS)

    def _make_service_metrics(self) -> None:
        by_batch = ("stream", "kind", "outcome")
        self._events = self._counter("events", "Events handled, by outcome.", "stream", "type", "outcome")
        self._steps = self._histogram("step_duration_seconds", "Duration of a batch's step.", "stream", "step")
        self._batches = self._counter("batches", "Batches ended, by outcome.", *by_batch)
        self._rows = self._counter("rows", "Rows of the batches that ended, by outcome.", *by_batch)
        self._bytes = self._counter("bytes", "Bytes of the files of the batches that ended, by outcome.", *by_batch)
        self._durations = self._histogram("batch_duration_seconds", "Duration of whole batches.", *by_batch)
        self._watermark = self._gauge("watermark_timestamp_seconds", "The stream's watermark.", "stream")
        self._lag = self._gauge("lag_seconds", "Source server's time less watermark, when last seen.", "stream")
        self._loss = self._gauge(
            "time_to_loss_seconds",
            "Until the source's TTL may delete rows that were not offloaded; +Inf: never, NaN: unknown.",
            "stream",
        )
        self._backfill = self._gauge(
            "backfill_remaining_seconds", "Time of the stream's history that is still to be backfilled.", "stream"
        )
        self._success = self._gauge(
            "last_success_timestamp_seconds", "When the stream's last batch was published.", "stream"
        )
        self._halted = self._gauge("stream_halted", "1 while the stream waits for an operator.", "stream")
        self._unknown = self._counter(
            "unknown_commits", "Commits of unknown outcome, by how they ended.", "stream", "outcome"
        )
        self._conflicts = self._counter("commit_conflicts", "Publishes staged again on a moved table.", "stream")
        self._leases = self._counter("lease_epoch_changes", "Lease epochs taken by this process.", "stream")
        self._audit_failures = self._gauge("audit_failures", "1 while a check of the audit fails.", "stream", "check")
        self._audited = self._gauge(
            "last_audit_timestamp_seconds", "When every check of the stream's audit could be made last.", "stream"
        )
        self._dead_letters = self._counter("dead_letters", "Messages moved to the dead-letter topic.", "reason")

    def _make_runtime_metrics(self) -> None:
        self._polled = self._counter("kafka_messages_received", "Messages received.", "topic")
        self._heartbeat = self._gauge("poll_heartbeat_timestamp_seconds", "When the poll loop turned last.")
        self._retries = self._counter("event_retries", "Attempts that failed, by class of error.", "stream", "cause")
        self._in_flight = self._gauge("events_in_flight", "Events received and not done.")
        self._assigned = self._gauge("partitions_assigned", "Partitions that this member owns.")
        self._rebalances = self._counter("rebalances", "Changes of this member's assignment.", "kind")
        self._consumer_lag = self._gauge(
            "consumer_lag_messages", "Messages of a partition that are not acknowledged.", "topic", "partition"
        )
        self._commit_errors = self._counter("offset_commit_errors", "Partitions whose commit was refused.", "reason")
        self._broker_errors = self._counter("kafka_client_errors", "Errors reported by the Kafka client.", "reason")
        self._incidents = self._counter(
            "offset_incidents", "Committed offsets that could not be used, by kind.", "kind"
        )

    # ----------------------------------------------------------------------------------- service

    def event_handled(self, stream: str, type_: str, outcome: str) -> None:
        """Count an event by how its handling ended."""
        self._events.labels(stream, type_, outcome).inc()

    def step(self, stream: str, step: str, seconds: float) -> None:
        """Record how long a step of a batch took."""
        self._steps.labels(stream, step).observe(seconds)

    def batch(self, stream: str, kind: str, outcome: str, *, rows: int, bytes: int, seconds: float) -> None:
        """Count a batch by its outcome, with rows and bytes where it was published."""
        self._batches.labels(stream, kind, outcome).inc()
        self._rows.labels(stream, kind, outcome).inc(rows)
        self._bytes.labels(stream, kind, outcome).inc(bytes)
        self._durations.labels(stream, kind, outcome).observe(seconds, sampled_trace())
        if outcome == _PUBLISHED:
            self._success.labels(stream).set(time.time())

    def watermark(self, stream: str, watermark: datetime, lag: timedelta) -> None:
        """Record a stream's watermark and lag."""
        self._watermark.labels(stream).set(watermark.timestamp())
        self._lag.labels(stream).set(lag.total_seconds())

    def state(self, stream: str, *, halted: bool) -> None:
        """Record whether a stream is halted."""
        self._halted.labels(stream).set(halted)

    def time_to_loss(self, stream: str, seconds: float) -> None:
        """Record a stream's time to loss."""
        self._loss.labels(stream).set(seconds)

    def backfill(self, stream: str, remaining: timedelta) -> None:
        """Record how much time of a stream's history is still to be backfilled."""
        self._backfill.labels(stream).set(remaining.total_seconds())

    def unknown_commit(self, stream: str, outcome: str) -> None:
        """Count an unknown commit by what the read-back found."""
        self._unknown.labels(stream, outcome).inc()

    def conflict(self, stream: str) -> None:
        """Count a publish that had to restage because the table had moved."""
        self._conflicts.labels(stream).inc()

    def lease(self, stream: str) -> None:
        """Count a change of a stream's lease epoch."""
        self._leases.labels(stream).inc()

    def audit_check(self, stream: str, check: str, *, failed: bool) -> None:
        """Record how a check ended that could be made."""
        self._audit_failures.labels(stream, check).set(failed)

    def audited(self, stream: str) -> None:
        """Record that every check of a stream could be made now."""
        self._audited.labels(stream).set(time.time())

    def dead_letter(self, reason: str) -> None:
        """Count a dead letter by reason."""
        self._dead_letters.labels(reason).inc()

    # ----------------------------------------------------------------------------------- runtime

    def polled(self, topic: str, messages: int) -> None:
        """Count messages received."""
        self._polled.labels(topic).inc(messages)

    def heartbeat(self) -> None:
        """Record that the poll loop has just turned."""
        self._heartbeat.set(time.time())

    def retry(self, stream: str, cause: str) -> None:
        """Count an attempt that failed, by the class of its error."""
        self._retries.labels(stream, cause).inc()

    def in_flight(self, events: int) -> None:
        """Record how many events are received and not done."""
        self._in_flight.set(events)

    def assigned(self, partitions: int) -> None:
        """Record how many partitions this member owns."""
        self._assigned.set(partitions)

    def rebalance(self, kind: str) -> None:
        """Count a change of the assignment."""
        self._rebalances.labels(kind).inc()

    def consumer_lag(self, partition: Partition, messages: int | None) -> None:
        """Record how many messages are not acknowledged; ``None`` forgets the partition."""
        labels = (partition.topic, str(partition.number))
        if messages is None:
            self._consumer_lag.remove_by_labels(dict(zip(("topic", "partition"), labels, strict=True)))
        else:
            self._consumer_lag.labels(*labels).set(messages)

    def commit_error(self, reason: str) -> None:
        """Count a partition whose offset commit was refused."""
        self._commit_errors.labels(reason).inc()

    def broker_error(self, reason: str) -> None:
        """Count an error that the Kafka client reported."""
        self._broker_errors.labels(reason).inc()

    def offset_incident(self, kind: str) -> None:
        """Count a committed offset that could not be used."""
        self._incidents.labels(kind).inc()
