"""A broker in memory: one topic, and the coordinator of one consumer group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from zlib import crc32

from consumer.domain.errors import BrokerUnavailableError, InvalidEventError
from consumer.domain.event import Coordinates, Event
from consumer.service.runtime.ports import Partition
from consumer.service.threads import SYSTEM_THREADS, Threads
from consumer.testing.group_member import MemoryMember


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerMessage:
    """A message of the topic; ``event`` is ``None`` where it holds anything else."""

    at: Partition
    number: int
    event: Event | None

    def topic(self) -> str:
        """Return the topic."""
        return self.at.topic

    def partition(self) -> int:
        """Return the partition's number."""
        return self.at.number

    def offset(self) -> int:
        """Return the offset."""
        return self.number


def decode(message: BrokerMessage) -> Event:
    """Return a message's event, with its coordinates.

    Raises:
        InvalidEventError: if it holds none.
    """
    if message.event is None:
        raise InvalidEventError("the message is no event", remedy="send another")
    at = Coordinates(topic=message.at.topic, partition=message.at.number, offset=message.number)
    return replace(message.event, coordinates=at)


@dataclass(slots=True)
class _Log:
    """A partition: its messages by offset, and the offset that comes next; what was lost left a gap."""

    messages: dict[int, BrokerMessage] = field(default_factory=dict)
    end: int = 0


class MemoryBroker:
    """The topic, and the coordinator of its one group.

    A partition has one owner at most. It changes hands when its owner has given it back in a poll, or was expelled,
    as a coordinator does with a member from which it hears nothing. ``down`` makes the broker unreachable.
    """

    def __init__(self, *, topic: str = "events", partitions: int = 1, threads: Threads = SYSTEM_THREADS) -> None:
        self.changed = threads.condition()
        self.down = False
        self.committed: dict[Partition, int] = {}
        self.owners: dict[Partition, MemoryMember] = {}
        self.members: list[MemoryMember] = []
        self._topic = topic
        self._logs = {Partition(topic, number): _Log() for number in range(partitions)}
        self._turn = 0

    # ------------------------------------------------------------------------------------------ topic

    @property
    def partitions(self) -> Sequence[Partition]:
        """The topic's partitions."""
        return tuple(self._logs)

    def partition_of(self, stream: str) -> Partition:
        """Return the partition that a stream's events go to."""
        return Partition(self._topic, crc32(stream.encode()) % len(self._logs))

    def send(self, events: Sequence[Event]) -> None:
        """Append events, each to its stream's partition.

        Raises:
            BrokerUnavailableError: while the broker is down.
        """
        self.check_up()
        with self.changed:
            for event in events:
                self._append(self.partition_of(event.stream), replace(event, coordinates=None))
            self.changed.notify_all()

    def put(self, partition: Partition, event: Event | None) -> None:
        """Append what a foreign producer sends, be it an event or not."""
        with self.changed:
            self._append(partition, event)
            self.changed.notify_all()

    def lose(self, partition: Partition, offset: int) -> BrokerMessage | None:
        """Take a message away, as if it had never been sent, and return it."""
        return self._logs[partition].messages.pop(offset, None)

    def messages(self, partition: Partition) -> Sequence[BrokerMessage]:
        """Return a partition's messages, oldest first."""
        return [message for _, message in sorted(self._logs[partition].messages.items())]

    def read(self, partition: Partition, offset: int) -> BrokerMessage | None:
        """Return the message at an offset, ``None`` where there is a gap."""
        return self._logs[partition].messages.get(offset)

    def end(self, partition: Partition) -> int:
        """Return the offset that the next message will have."""
        return self._logs[partition].end

    def check_up(self) -> None:
        """Raise unless the broker can be reached.

        Raises:
            BrokerUnavailableError: while it is down.
        """
        if self.down:
            raise BrokerUnavailableError("the broker is down", remedy="start it again")

    def _append(self, partition: Partition, event: Event | None) -> None:
        log = self._logs[partition]
        log.messages[log.end] = BrokerMessage(at=partition, number=log.end, event=event)
        log.end += 1

    # ------------------------------------------------------------------------------------------ group

    def member(self) -> MemoryMember:
        """Return a member that has not joined yet."""
        return MemoryMember(self)

    def join(self, member: MemoryMember) -> None:
        """Take in a member."""
        with self.changed:
            self.members.append(member)
            self.changed.notify_all()

    def expel(self, member: MemoryMember) -> None:
        """Take everything from a member without a word; it finds out in its next poll, and joins again.

        What it had been asked to give back before that it hears of as such, though it comes too late.
        """
        with self.changed:
            if member in self.members:
                member.asked_back = set(member.owned) - self.target(member)
                self.members.remove(member)
            for partition in [partition for partition, owner in self.owners.items() if owner is member]:
                del self.owners[partition]
            self.changed.notify_all()

    def reassign(self) -> None:
        """Hand the partitions out in another order."""
        with self.changed:
            self._turn += 1
            self.changed.notify_all()

    def reset(self, partition: Partition, offset: int) -> None:
        """Set the group's offset, as Kafka's tools do for a group without members: all are expelled."""
        for member in list(self.members):
            self.expel(member)
        self.committed[partition] = offset

    def target(self, member: MemoryMember) -> set[Partition]:
        """Return the partitions that a member should own."""
        count = len(self.members)
        if member not in self.members:
            return set()
        place = self.members.index(member)
        return {partition for number, partition in enumerate(self._logs) if (number + self._turn) % count == place}

    def commit(self, member: MemoryMember, offsets: Mapping[Partition, int]) -> dict[Partition, str]:
        """Commit a member's offsets, and return the refused partitions with a reason each.

        A coordinator asks whether it is a member that commits, and not whether the partition is the member's.
        """
        if self.down:
            return dict.fromkeys(offsets, "_TIMED_OUT")
        if member not in self.members:
            return dict.fromkeys(offsets, "ILLEGAL_GENERATION")
        for partition, offset in offsets.items():
            self.record(member, partition, offset)
        return {}

    def hand_over(self, partition: Partition, member: MemoryMember) -> int:
        """Make a member the owner of a partition, and return the offset that it reads first."""
        self.owners[partition] = member
        return self.committed.get(partition, 0)

    def record(self, member: MemoryMember, partition: Partition, offset: int) -> None:
        """Keep an offset that a member has committed."""
        del member
        self.committed[partition] = offset
