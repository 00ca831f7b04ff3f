"""What the topics have to be like, and how an existing one differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from consumer.settings.connections import KafkaSettings

DEAD_LETTER_RETENTION = timedelta(days=30)
"""Dead letters wait for people: at least this long, and never shorter than the events."""

PARTITIONS = "partitions"
REPLICAS = "replication factor"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """What a topic has to be like."""

    name: str
    partitions: int
    replication_factor: int
    retention: timedelta

    @property
    def config(self) -> dict[str, str]:
        """The topic's own configuration."""
        return {
            "cleanup.policy": "delete",
            # One replica may be missing.
            "min.insync.replicas": str(max(1, self.replication_factor - 1)),
            "retention.ms": str(self.retention // timedelta(milliseconds=1)),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicFinding:
    """A difference between a topic and the configuration; ``found`` is ``None`` for a topic that is missing."""

    topic: str
    field: str
    expected: str
    found: str | None
    remedy: str

    def __str__(self) -> str:
        if self.found is None:
            return f"topic {self.topic} does not exist"
        return f"topic {self.topic}: {self.field} is {self.found}, not {self.expected}"


def topic_specs(settings: KafkaSettings) -> tuple[TopicSpec, TopicSpec]:
    """Return what the event topic and the dead-letter topic have to be like."""
    events = TopicSpec(
        name=settings.topic,
        partitions=settings.partitions,
        replication_factor=settings.replication_factor,
        retention=settings.retention,
    )
    letters = TopicSpec(
        name=settings.dead_letter_topic,
        partitions=settings.partitions,
        replication_factor=settings.replication_factor,
        retention=max(settings.retention, DEAD_LETTER_RETENTION),
    )
    return events, letters


def absent(spec: TopicSpec) -> TopicFinding:
    """Return the finding for a topic that does not exist."""
    return TopicFinding(
        topic=spec.name, field="existence", expected="there", found=None, remedy="create it: icehaul topics"
    )


def compare(spec: TopicSpec, found: Mapping[str, str]) -> Iterable[TopicFinding]:
    """Yield the differences between a topic and what it has to be like.

    ``found`` has the topic's configuration, and its :data:`PARTITIONS` and :data:`REPLICAS`.
    """
    expected = {PARTITIONS: str(spec.partitions), REPLICAS: str(spec.replication_factor), **spec.config}
    for field, value in expected.items():
        actual = found.get(field, "unknown")
        if actual != value and not _more_than_enough(field, actual, value):
            yield TopicFinding(
                topic=spec.name, field=field, expected=value, found=actual, remedy=_remedy(spec, field, value)
            )


def _more_than_enough(field: str, found: str, expected: str) -> bool:
    """Tell whether a value serves although it differs: longer retention, more replicas."""
    if field not in {"retention.ms", "min.insync.replicas", REPLICAS} or not found.lstrip("-").isdecimal():
        return False
    return int(found) > int(expected) or (field == "retention.ms" and found == "-1")


def _remedy(spec: TopicSpec, field: str, value: str) -> str:
    match field:
        case "partitions":
            return "set kafka.partitions to what the topic has; more partitions move streams to other partitions"
        case "replication factor":
            return f"reassign the partitions of {spec.name} to {value} replicas, or lower kafka.replication_factor"
        case _:
            setting = f"--entity-name {spec.name} --add-config {field}={value}"
            return f"change the configuration, or the topic: kafka-configs.sh --alter --entity-type topics {setting}"
