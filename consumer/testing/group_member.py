"""A member of the consumer group of a broker in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from consumer.service.runtime.ports import GroupListener, Partition

if TYPE_CHECKING:
    from consumer.testing.broker import BrokerMessage, MemoryBroker


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
