"""The emitter's world in memory: a sink of events, and partitions with a server's clock."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from consumer.domain.errors import BrokerUnavailableError, SourceMissingError
from consumer.domain.event import Event
from consumer.domain.inventory import Inventory
from consumer.domain.stream import Stream


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


class MemoryInventory:
    """Source tables by stream, and a server's clock that a test sets."""

    def __init__(self, now: datetime) -> None:
        self.time = now
        self.tables: dict[str, Inventory] = {}

    def now(self) -> datetime:
        """Return the server's time."""
        return self.time

    def inventory(self, stream: Stream) -> Inventory:
        """Return a stream's inventory.

        Raises:
            SourceMissingError: if it was given none.
        """
        if stream.name not in self.tables:
            raise SourceMissingError(f"source {stream.source} does not exist", remedy="create it")
        return self.tables[stream.name]
