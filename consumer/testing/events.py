"""A sink of events in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from consumer.domain.errors import BrokerUnavailableError
from consumer.domain.event import Event


class MemoryEventSink:
    """Keeps what it is sent, as Kafka's topic would; ``down`` makes it an unreachable broker."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self.down = False

    @property
    def events(self) -> list[Event]:
        """What was sent, oldest first."""
        with self._lock:
            return list(self._events)

    def send(self, events: Sequence[Event]) -> None:
        """Keep events.

        Raises:
            BrokerUnavailableError: while ``down`` is set.
        """
        if self.down:
            raise BrokerUnavailableError("the sink is down", remedy="set down to False")
        with self._lock:
            self._events += [replace(event, coordinates=None) for event in events]
