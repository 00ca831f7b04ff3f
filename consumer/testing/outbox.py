"""The outbox of a ledger in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from consumer.domain.event import Event
from consumer.ports import OutboxMessage


@dataclass(slots=True)
class _Stored:
    event: Event
    claimed_until: datetime = field(default=datetime.min.replace(tzinfo=UTC))


class MemoryOutbox:
    """What ``offload_outbox`` holds; the ledger's mutex protects it."""

    def __init__(self, now: Callable[[], datetime], claim: timedelta) -> None:
        self._now = now
        self._claim = claim
        self._messages: dict[int, _Stored] = {}
        self._sent = 0

    def __len__(self) -> int:
        return len(self._messages)

    def send(self, events: Sequence[Event]) -> None:
        """Add events."""
        for event in events:
            self._sent += 1
            self._messages[self._sent] = _Stored(event=event)

    def take(self, limit: int) -> Sequence[OutboxMessage]:
        """Return the oldest messages that no relay has, and keep them from the others for a while."""
        now = self._now()
        free = [number for number, message in self._messages.items() if message.claimed_until <= now]
        chosen = sorted(free)[:limit]
        for number in chosen:
            self._messages[number].claimed_until = now + self._claim
        return [OutboxMessage(number=number, event=self._messages[number].event) for number in chosen]

    def remove(self, numbers: Sequence[int]) -> None:
        """Remove messages that are relayed."""
        for number in numbers:
            self._messages.pop(number, None)
