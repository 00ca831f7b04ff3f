"""A consumer group, in memory or on the stack's broker, whose members are driven by the test's own thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from consumer.adapters.kafka.consumer import KafkaEventSource
from consumer.domain.event_factory import tick
from consumer.domain.offset_incident import OffsetIncident
from consumer.service.runtime.ports import EventSource, Message, Partition
from consumer.settings.connections import ConsumerSettings
from consumer.testing.broker import MemoryBroker
from consumer.testing.group_member import MemoryMember
from consumer.testing.telemetry import MemoryMetrics
from tests.support.kafka_group import NOON, Topic, with_settings
from tests.support.waiting import wait_until

PARTITIONS = 2
_PATIENCE_S = 60.0
_SILENCE_MS = 3000

Place = tuple[int, int]
"""Partition and offset of a message."""


class Driven:
    """A member, what its listener was told, and the messages that it got."""

    def __init__(self, source: EventSource[Any]) -> None:
        self.source = source
        self.heard: list[tuple[str, tuple[int, ...]]] = []
        self.answers: list[tuple[dict[int, int], dict[int, str]]] = []
        self.owned: set[Partition] = set()
        self.got: list[Place] = []
        self.incidents: list[OffsetIncident] = []
        self.on_revoked: Callable[[], None] = lambda: None

    def join(self) -> None:
        """Join the group."""
        self.source.start(self)

    def poll(self, limit: int = 100) -> Sequence[Message]:
        """Poll once."""
        received: Sequence[Message] = self.source.poll(0.05, limit)
        self.got += [(message.partition() or 0, message.offset() or 0) for message in received]
        return received

    def got_from(self, partition: Partition) -> list[int]:
        """Offsets of the messages of a partition, in the order of their arrival."""
        return [offset for number, offset in self.got if number == partition.number]

    # ------------------------------------------------------------------------------- the listener

    def assigned(self, partitions: Sequence[Partition], incidents: Sequence[OffsetIncident] = ()) -> None:
        """Take over partitions."""
        self.incidents += incidents
        self.owned.update(partitions)
        self._hear("assigned", partitions)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Give partitions back."""
        self.on_revoked()
        self.owned.difference_update(partitions)
        self._hear("revoked", partitions)

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Forget partitions."""
        self.owned.difference_update(partitions)
        self._hear("lost", partitions)

    def committed(self, offsets: Mapping[Partition, int], refused: Mapping[Partition, str]) -> None:
        """Take an answer."""
        self.answers.append(
            ({at.number: offset for at, offset in offsets.items()}, {at.number: why for at, why in refused.items()})
        )

    def _hear(self, what: str, partitions: Sequence[Partition]) -> None:
        # A rebalance that changes nothing for a member may be told or not.
        if partitions:
            self.heard.append((what, tuple(sorted(partition.number for partition in partitions))))


def drive(*members: Driven, until: Callable[[], object], what: str = "") -> None:
    """Poll the members in turn until something holds."""

    def turn() -> object:
        for member in members:
            member.poll()
        return until()

    wait_until(turn, seconds=_PATIENCE_S, what=what)


class Group(ABC):
    """A topic of two partitions, and the group that reads it."""

    partitions: Sequence[Partition]

    def __init__(self) -> None:
        self._members: list[Driven] = []

    def member(self, *, silent: bool = False) -> Driven:
        """A member that has not joined; ``silent`` ones are expelled soon after their last poll."""
        member = Driven(self._source(silent=silent))
        self._members.append(member)
        return member

    def leave(self, member: Driven) -> None:
        """Close a member."""
        self._members.remove(member)
        member.source.close()

    def close(self) -> None:
        """Close all members that are left."""
        for member in list(self._members):
            self.leave(member)

    @abstractmethod
    def _source(self, *, silent: bool) -> EventSource[Any]: ...

    @abstractmethod
    def unreachable(self) -> Driven:
        """A member whose broker does not answer."""

    @abstractmethod
    def send(self, partition: Partition, count: int = 1) -> None:
        """Append messages."""

    @abstractmethod
    def committed(self, partition: Partition) -> int | None:
        """The group's committed offset."""

    @abstractmethod
    def time_passes(self, member: Driven) -> None:
        """Let so much time pass that a silent member is expelled."""


class MemoryGroup(Group):
    """The group of the fake broker."""

    def __init__(self) -> None:
        super().__init__()
        self._broker = MemoryBroker(partitions=PARTITIONS)
        self.partitions = self._broker.partitions

    def _source(self, *, silent: bool) -> MemoryMember:
        return self._broker.member()

    def unreachable(self) -> Driven:
        self._broker.down = True
        return self.member()

    def send(self, partition: Partition, count: int = 1) -> None:
        for _ in range(count):
            self._broker.put(partition, tick(stream="s", boundary=NOON))

    def committed(self, partition: Partition) -> int | None:
        return self._broker.committed.get(partition)

    def time_passes(self, member: Driven) -> None:
        assert isinstance(member.source, MemoryMember)
        self._broker.expel(member.source)


class KafkaGroup(Group):
    """A group of the stack's broker."""

    def __init__(self, bootstrap_servers: str, protocol: str) -> None:
        super().__init__()
        self._protocol = {"group_protocol": protocol}
        self._topic = Topic(bootstrap_servers, partitions=PARTITIONS)
        self.partitions = [Partition(self._topic.settings.topic, number) for number in range(PARTITIONS)]

    def _source(self, *, silent: bool) -> KafkaEventSource:
        options = {"max.poll.interval.ms": str(_SILENCE_MS)} if silent else {}
        if self._protocol["group_protocol"] == "classic":
            options |= {"session.timeout.ms": str(_SILENCE_MS), "heartbeat.interval.ms": "300"}
        settings = with_settings(self._topic, self._protocol, options=options)
        return KafkaEventSource(settings, ConsumerSettings(revoke_deadline_seconds=1), MemoryMetrics())

    def unreachable(self) -> Driven:
        settings = with_settings(self._topic, {**self._protocol, "bootstrap_servers": "127.0.0.1:9"})
        source = KafkaEventSource(settings, ConsumerSettings(), MemoryMetrics(), start_seconds=1)
        member = Driven(source)
        self._members.append(member)
        return member

    def send(self, partition: Partition, count: int = 1) -> None:
        self._topic.send(*("s 1" for _ in range(count)), partition=partition.number)

    def committed(self, partition: Partition) -> int | None:
        offset = self._topic.committed(partition.number)
        return offset if offset >= 0 else None

    def time_passes(self, member: Driven) -> None:
        """Nothing but waiting, which whoever joins does anyway."""
