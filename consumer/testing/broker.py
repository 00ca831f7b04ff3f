"""A broker in memory: one topic, and one consumer group with its members."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from zlib import crc32

from consumer.domain.errors import BrokerUnavailableError, InvalidEventError
from consumer.domain.event import Coordinates, Event
from consumer.service.runtime.ports import GroupListener, Partition
from consumer.service.threads import SYSTEM_THREADS, Threads


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


class MemoryMember:
    """One member of a broker's group: the port ``EventSource``.

    ``answer_lost`` makes the answer to the next commit a time-out though the commit has landed.
    """

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._listener: GroupListener | None = None
        self._owned: dict[Partition, int] = {}
        self._paused: set[Partition] = set()
        self._answers: deque[tuple[dict[Partition, int], dict[Partition, str]]] = deque()
        self.answer_lost = False
        self.asked_back: set[Partition] = set()

    @property
    def owned(self) -> Mapping[Partition, int]:
        """The partitions that this member takes for its own, and the offset that it reads next."""
        return self._owned

    def start(self, listener: GroupListener) -> None:
        """Join the group."""
        self._broker.check_up()
        self._listener = listener
        self._broker.join(self)

    def poll(self, timeout: float, limit: int) -> Sequence[BrokerMessage]:
        """Report what has happened, and return messages of partitions that are owned and not paused."""
        broker = self._broker
        with broker.changed:
            broker.changed.wait_for(self._has_news, timeout)
        if self._listener is None or broker.down:
            return []
        while self._answers:
            self._listener.committed(*self._answers.popleft())
        self._rebalance(self._listener)
        with broker.changed:
            return self._fetch(limit)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit; the next poll tells the answer."""
        self._answers.append((dict(offsets), self._send(offsets)))

    def commit_now(self, offsets: Mapping[Partition, int]) -> Mapping[Partition, str]:
        """Commit, and return the refused partitions."""
        return self._send(offsets)

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Stop fetching."""
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Fetch again."""
        self._paused.difference_update(partitions)

    def ends(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Return the end of each partition."""
        return {partition: self._broker.end(partition) for partition in partitions}

    def close(self) -> None:
        """Give everything back, and leave."""
        if self._listener is not None and self._owned:
            self._give_back(self._listener, list(self._owned))
        self._listener = None
        self._broker.expel(self)

    def _send(self, offsets: Mapping[Partition, int]) -> dict[Partition, str]:
        refused = self._broker.commit(self, offsets)
        lost, self.answer_lost = self.answer_lost, False
        return dict.fromkeys(offsets, "REQUEST_TIMED_OUT") if lost else refused

    def _has_news(self) -> bool:
        broker = self._broker
        if broker.down:
            return False
        if self._answers or self not in broker.members:
            return True
        target = broker.target(self)
        takes = any(partition not in broker.owners for partition in target - set(self._owned))
        return takes or not target.issuperset(self._owned) or any(self._next(partition) for partition in self._owned)

    def _rebalance(self, listener: GroupListener) -> None:
        broker = self._broker
        if self not in broker.members:
            asked_back = [partition for partition in self._owned if partition in self.asked_back]
            if asked_back:
                self._give_back(listener, asked_back)
            lost, self._owned = list(self._owned), {}
            self.asked_back = set()
            self._paused.clear()
            if lost:
                listener.lost(lost)
            broker.join(self)
        target = broker.target(self)
        leaving = [partition for partition in self._owned if partition not in target]
        if leaving:
            self._give_back(listener, leaving)
        # Giving back may take time, and the group moves on meanwhile.
        coming = sorted(
            partition
            for partition in broker.target(self)
            if partition not in broker.owners and partition not in self._owned
        )
        if coming:
            for partition in coming:
                self._owned[partition] = broker.hand_over(partition, self)
            listener.assigned(coming)

    def _give_back(self, listener: GroupListener, partitions: Sequence[Partition]) -> None:
        listener.revoked(partitions)
        broker = self._broker
        with broker.changed:
            for partition in partitions:
                self._owned.pop(partition, None)
                self._paused.discard(partition)
                if broker.owners.get(partition) is self:
                    del broker.owners[partition]
            broker.changed.notify_all()

    def _next(self, partition: Partition) -> bool:
        return partition not in self._paused and self._owned[partition] < self._broker.end(partition)

    def _fetch(self, limit: int) -> list[BrokerMessage]:
        fetched: list[BrokerMessage] = []
        for partition in sorted(self._owned):
            while len(fetched) < limit and self._next(partition):
                message = self._broker.read(partition, self._owned[partition])
                self._owned[partition] += 1
                if message is not None:
                    fetched.append(message)
        return fetched
