"""A consumer group in memory, for the runtime's own tests."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic

from consumer.domain.errors import BrokerUnavailableError, IcehaulError
from consumer.domain.offset_incident import OffsetIncident
from consumer.service.runtime.ports import GroupListener, M, Partition


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryMessage:
    """A message with nothing but its place and its value."""

    at: Partition
    number: int
    value: str

    def topic(self) -> str | None:
        """Return the topic."""
        return self.at.topic

    def partition(self) -> int | None:
        """Return the partition's number."""
        return self.at.number

    def offset(self) -> int | None:
        """Return the offset."""
        return self.number


@dataclass
class MemoryEventSource:
    """A member that owns what a test gives it; ``refuse`` names partitions whose commits fail, with the reason."""

    refuse: dict[Partition, str] = field(default_factory=dict)
    committed: dict[Partition, int] = field(default_factory=dict)
    paused: set[Partition] = field(default_factory=set)
    closed: bool = False
    answers: bool = True
    commits_now: int = 0

    def __post_init__(self) -> None:
        self._listener: GroupListener | None = None
        self._actions: deque[tuple[str, tuple[Partition, ...]]] = deque()
        self._incidents: list[OffsetIncident] = []
        self._answers: deque[tuple[dict[Partition, int], dict[Partition, str]]] = deque()
        self._messages: deque[MemoryMessage] = deque()
        self._owned: set[Partition] = set()
        self._changed = threading.Condition()

    def rebalance(self, kind: str, *partitions: Partition) -> None:
        """Let the next poll report partitions as assigned, revoked or lost."""
        with self._changed:
            self._actions.append((kind, partitions))
            self._changed.notify_all()

    def assign_with(self, incident: OffsetIncident) -> None:
        """Let the next poll report the incident's partition as assigned, with the incident."""
        with self._changed:
            self._incidents.append(incident)
            self._actions.append(("assigned", (Partition(incident.topic, incident.partition),)))
            self._changed.notify_all()

    def send(self, partition: Partition, offset: int, value: str) -> None:
        """Make a message available."""
        with self._changed:
            self._messages.append(MemoryMessage(at=partition, number=offset, value=value))
            self._changed.notify_all()

    def start(self, listener: GroupListener) -> None:
        """Join."""
        self._listener = listener

    def poll(self, timeout: float, limit: int) -> Sequence[MemoryMessage]:
        """Report rebalances, and return messages of partitions that are owned and not paused."""
        with self._changed:
            self._changed.wait_for(lambda: self._actions or self._answers or self._ready(), timeout)
            actions = list(self._actions)
            self._actions.clear()
        while self._answers and self._listener is not None:
            self._listener.committed(*self._answers.popleft())
        for kind, partitions in actions:
            self._act(kind, partitions)
        with self._changed:
            ready = self._ready()[:limit]
            for message in ready:
                self._messages.remove(message)
            return ready

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit, but for what ``refuse`` names; the next poll tells the answer, unless ``answers`` is off."""
        if self.answers:
            with self._changed:
                self._answers.append((dict(offsets), self._take(offsets)))

    def commit_now(self, offsets: Mapping[Partition, int]) -> Mapping[Partition, str]:
        """Commit, but for what ``refuse`` names."""
        self.commits_now += 1
        return self._take(offsets)

    def _take(self, offsets: Mapping[Partition, int]) -> dict[Partition, str]:
        refused = {partition: self.refuse[partition] for partition in offsets if partition in self.refuse}
        self.committed.update({key: offset for key, offset in offsets.items() if key not in refused})
        return refused

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Stop fetching."""
        self.paused.update(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Fetch again."""
        self.paused.difference_update(partitions)

    def ends(self, _partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Return nothing: no end is known."""
        return {}

    def close(self) -> None:
        """Revoke everything, and leave."""
        self._act("revoked", tuple(self._owned))
        self.closed = True

    def _ready(self) -> list[MemoryMessage]:
        return [message for message in self._messages if message.at in self._owned - self.paused]

    def _act(self, kind: str, partitions: tuple[Partition, ...]) -> None:
        listener = self._listener
        if listener is None or not partitions:
            return
        if kind == "assigned":
            self._owned.update(partitions)
            incidents, self._incidents = self._incidents, []
            listener.assigned(partitions, incidents)
            return
        self._owned.difference_update(partitions)
        (listener.revoked if kind == "revoked" else listener.lost)(partitions)


@dataclass
class MemoryDeadLetters(Generic[M]):
    """Dead letters in a list; each of ``failures`` is raised once, before anything is taken; ``down`` always fails."""

    failures: deque[IcehaulError] = field(default_factory=deque)
    letters: list[tuple[M, IcehaulError]] = field(default_factory=list)
    down: bool = False

    def send(self, message: M, error: IcehaulError) -> None:
        """Keep a dead letter.

        Raises:
            BrokerUnavailableError: while ``down`` is set.
        """
        if self.down:
            raise BrokerUnavailableError("the dead-letter topic is down", remedy="set down to False")
        if self.failures:
            raise self.failures.popleft()
        self.letters.append((message, error))
