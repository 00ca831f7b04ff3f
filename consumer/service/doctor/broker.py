"""Checks of Kafka: the topics, what they take, and whether a consumer group works."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from consumer.domain.offset_incident import IncidentKind, OffsetIncident
from consumer.domain.phrasing import counted
from consumer.service.doctor.finding import Statement, error, info, ok, warning


class TopicDifference(Protocol):
    """How a topic differs from the configuration; ``found`` is ``None`` for a topic that is missing."""

    @property
    def topic(self) -> str:
        """Name of the topic."""
        ...

    @property
    def found(self) -> str | None:
        """What is there."""
        ...

    @property
    def remedy(self) -> str:
        """What to do about it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicsCheck:
    """Both topics: there, and as configured; the largest event fits."""

    subject: str
    topics: Sequence[str]
    differences: Callable[[], Sequence[TopicDifference]]
    message_bytes: Callable[[str], int | None]
    largest: int
    name: str = "kafka topics"

    def run(self) -> Iterator[Statement]:
        """Compare the topics with the configuration."""
        differences = self.differences()
        for found in differences:
            yield (error if found.found is None else warning)(str(found), found.remedy)
        if not differences:
            yield ok(f"the broker answers; {' and '.join(self.topics)} are as configured")
        missing = {found.topic for found in differences if found.found is None}
        for topic in self.topics:
            limit = None if topic in missing else self.message_bytes(topic)
            if limit is not None and limit < self.largest:
                yield error(
                    f"topic {topic}: max.message.bytes is {limit}, below the {self.largest} of the largest event",
                    f"kafka-configs.sh --alter --entity-type topics --entity-name {topic}"
                    f" --add-config max.message.bytes={self.largest}",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCheck:
    """Joins a consumer group of its own with the configured protocol, and leaves it again; commits nothing."""

    subject: str
    protocol: str
    join: Callable[[], float]
    name: str = "kafka group"

    def run(self) -> Iterator[Statement]:
        """Join."""
        seconds = self.join()
        yield ok(f"a member joined with the group protocol {self.protocol!r} in {seconds:.1f} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStanding:
    """Where a group stands in the event topic: how many events it has not acknowledged, and what is wrong with it."""

    behind: int
    incidents: Sequence[OffsetIncident]


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetsCheck:
    """The group's committed offsets: each says where to go on, or what the next consumer will do instead."""

    subject: str
    standing: Callable[[], GroupStanding]
    name: str = "kafka offsets"

    def run(self) -> Iterator[Statement]:
        """Judge the offsets as a consumer does that takes the partitions over."""
        found = self.standing()
        for incident in found.incidents:
            say = info if incident.kind is IncidentKind.MOVED else warning
            yield say(incident.message, f"{incident.remedy} as soon as a consumer runs")
        if not found.incidents:
            yield ok(f"the committed offsets say where to go on: {counted(found.behind, 'event')} to be read")
