"""Every metric with its labels and meaning: what ``/metrics`` serves, and what the reference page is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from consumer.adapters.telemetry import labels as by
from consumer.adapters.telemetry.labels import Label
from consumer.domain.table_size import SMALL_FILE_BYTES

PREFIX = "icehaul_"
Kind = Literal["counter", "gauge", "histogram"]
Role = Literal["consumer", "emitter"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: name with prefix, type, unit, meaning in one sentence, labels, and who has it (``None``: everyone)."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    labels: tuple[Label, ...] = ()
    role: Role | None = "consumer"


_DEFINED: list[Metric] = []


def _define(metric: Metric) -> Metric:
    _DEFINED.append(metric)
    return metric


def _counter(name: str, unit: str, meaning: str, *labels: Label, role: Role | None = "consumer") -> Metric:
    return _define(Metric(f"{PREFIX}{name}_total", "counter", unit, meaning, labels, role))


def _gauge(name: str, unit: str, meaning: str, *labels: Label, role: Role | None = "consumer") -> Metric:
    return _define(Metric(f"{PREFIX}{name}", "gauge", unit, meaning, labels, role))


def _histogram(name: str, meaning: str, *labels: Label) -> Metric:
    return _define(Metric(f"{PREFIX}{name}_seconds", "histogram", "seconds", meaning, labels))


_BATCH = (by.STREAM, by.BATCH_KIND, by.BATCH_OUTCOME)

WATERMARK = _gauge("watermark_timestamp_seconds", "timestamp", "The stream's watermark, once it was read.", by.STREAM)
LAG = _gauge("lag_seconds", "seconds", "The source server's time less the watermark, once it was read.", by.STREAM)
TIME_TO_LOSS = _gauge(
    "time_to_loss_seconds",
    "seconds",
    "Until the source's TTL may delete rows that were not offloaded; +Inf: never, NaN: unknown.",
    by.STREAM,
)
BACKFILL = _gauge(
    "backfill_remaining_seconds", "seconds", "Time of the stream's history that is still to be backfilled.", by.STREAM
)
WAITING = _gauge(
    "windows_waiting", "windows", "Windows that differ and wait for the next event to be replaced.", by.STREAM
)
SUCCESS = _gauge(
    "last_success_timestamp_seconds", "timestamp", "When this process published a batch of the stream last.", by.STREAM
)
HALTED = _gauge("stream_halted", "0 or 1", "1 while the stream waits for an operator.", by.STREAM)
EVENTS = _counter("events", "events", "Events handled, by outcome.", by.STREAM, by.EVENT_TYPE, by.EVENT_OUTCOME)
RETRIES = _counter("event_retries", "attempts", "Attempts that failed, by class of error.", by.STREAM, by.CAUSE)
BATCHES = _counter("batches", "batches", "Batches ended, by outcome.", *_BATCH)
ROWS = _counter("rows", "rows", "Rows of the batches that were published.", *_BATCH)
BYTES = _counter("bytes", "bytes", "Bytes of the files of the batches that were published.", *_BATCH)
LATE_ROWS = _counter("late_rows", "rows", "Late rows published as supplements.", by.STREAM)
BATCH_SECONDS = _histogram("batch_duration", "Duration of whole batches.", by.BATCH_KIND, by.BATCH_OUTCOME)
LAST_BATCH = _gauge("last_batch_duration_seconds", "seconds", "Duration of the stream's last batch.", by.STREAM)
STEP_SECONDS = _histogram("step_duration", "Duration of a batch's steps.", by.STEP)
UNIT_SECONDS = _histogram("unit_duration", "Duration of the Spark tasks that wrote a file each.")
CONFLICTS = _counter("commit_conflicts", "publishes", "Publishes staged again on a moved table.", by.STREAM)
UNKNOWN = _counter(
    "unknown_commits", "commits", "Commits of unknown outcome, by how they ended.", by.STREAM, by.READ_BACK
)
LEASES = _counter("lease_epoch_changes", "epochs", "Lease epochs taken by this process.", by.STREAM)
TABLE_FILES = _gauge("table_files", "files", "Live data files of the stream's target.", by.STREAM)
TABLE_BYTES = _gauge("table_bytes", "bytes", "Bytes of the live data files of the stream's target.", by.STREAM)
SMALL_FILES = _gauge(
    "table_small_files_ratio",
    "ratio",
    f"Share of the target's live data files that are smaller than {SMALL_FILE_BYTES // 2**20} MiB: 0 to 1.",
    by.STREAM,
)
MAINTAINED = _counter(
    "maintenance_steps", "steps", "Bounded pieces of maintenance, by outcome.", by.STREAM, by.TASK, by.TASK_OUTCOME
)
FILES_GONE = _counter(
    "maintenance_files_removed", "files", "By how many files maintenance has made tables smaller.", by.STREAM, by.TASK
)
SUPERFLUOUS_FILES = _gauge(
    "superfluous_files", "files", "Files that nothing refers to, and whose grace period has not passed.", by.STREAM
)
SUPERFLUOUS_BYTES = _gauge("superfluous_bytes", "bytes", "Bytes of these files.", by.STREAM)
REMOVED_FILES = _counter("removed_files", "files", "Files that nothing refers to, which were deleted.", by.STREAM)
REMOVED_BYTES = _counter("removed_bytes", "bytes", "Bytes of these files.", by.STREAM)
AUDIT_FAILURES = _gauge("audit_failures", "0 or 1", "1 while a check of the audit fails.", by.STREAM, by.CHECK)
AUDITED = _gauge(
    "last_audit_timestamp_seconds",
    "timestamp",
    "When every check of the stream's audit could be made last.",
    by.STREAM,
)
DEAD_LETTERS = _counter("dead_letters", "messages", "Messages moved to the dead-letter topic.", by.DEAD_REASON)
RECEIVED = _counter("kafka_messages_received", "messages", "Messages received.", by.TOPIC)
HEARTBEAT = _gauge("poll_heartbeat_timestamp_seconds", "timestamp", "When the poll loop turned last.")
IN_FLIGHT = _gauge("events_in_flight", "events", "Events received and not done.")
ASSIGNED = _gauge("partitions_assigned", "partitions", "Partitions that this member owns.")
REBALANCES = _counter("rebalances", "changes", "Changes of this member's assignment.", by.REBALANCE)
CONSUMER_LAG = _gauge(
    "consumer_lag_messages", "messages", "Messages of a partition that are not acknowledged.", by.TOPIC, by.PARTITION
)
COMMIT_ERRORS = _counter(
    "offset_commit_errors", "partitions", "Partitions whose offset commit was refused.", by.KAFKA_ERROR
)
CLIENT_ERRORS = _counter("kafka_client_errors", "errors", "Errors reported by the Kafka client.", by.KAFKA_ERROR)
INCIDENTS = _counter("offset_incidents", "incidents", "Committed offsets that could not be used.", by.INCIDENT)
RELAYED = _counter("events_relayed", "events", "Events of the outbox that Kafka has acknowledged.")
RELAY_FAILURES = _counter("relay_failures", "failures", "Looks at the outbox that failed.")
RELAY_SUCCESS = _gauge("last_relay_timestamp_seconds", "timestamp", "When the outbox was relayed as a whole last.")
ENGINE_READY = _gauge("engine_ready", "0 or 1", "1 while a Spark session is running.")
ENGINE_JOBS = _gauge("engine_jobs_running", "jobs", "Spark jobs that are running now, one for each batch.")
SENT = _counter("events_sent", "events", "Events that Kafka has acknowledged.", by.EVENT_TYPE, role="emitter")
ACTIVE = _gauge(
    "emitter_active", "0 or 1", "1 while this emitter holds the lease, 0 while it stands by.", role="emitter"
)
BLIND = _gauge(
    "emitter_streams_unseen", "streams", "Streams whose partitions the last round could not look at.", role="emitter"
)
ROUND = _gauge(
    "last_emitter_round_timestamp_seconds", "timestamp", "When a round of the emitter ended last.", role="emitter"
)
BUILD = _gauge("build_info", "always 1", "Tells role and version of the process.", by.ROLE, by.VERSION, role=None)
DISK_FREE = _gauge(
    "disk_free_bytes", "bytes", "Free space where the process writes, as it may use it.", by.DIRECTORY, role=None
)
DISK_SIZE = _gauge("disk_size_bytes", "bytes", "Size of the file system of that directory.", by.DIRECTORY, role=None)

OWN = tuple(_DEFINED)
"""Those that icehaul itself makes; prometheus_client's collector makes the following."""

_counter("process_cpu_seconds", "seconds", "CPU time of the process, without those that it has started.", role=None)
_gauge("process_resident_memory_bytes", "bytes", "Resident memory of the process.", role=None)
_gauge("process_virtual_memory_bytes", "bytes", "Virtual memory of the process.", role=None)
_gauge("process_open_fds", "files", "Open file descriptors.", role=None)
_gauge("process_max_fds", "files", "How many file descriptors the process may open.", role=None)
_gauge("process_start_time_seconds", "timestamp", "When the process started.", role=None)

METRICS = tuple(_DEFINED)
"""All of them, in the order of the reference."""
