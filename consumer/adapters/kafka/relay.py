"""The outbox relay: from the ledger to Kafka, at least once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import structlog

from consumer.domain.errors import TransientError, UnknownCommitError
from consumer.domain.event import Event
from consumer.failpoints.acting import Failpoints
from consumer.failpoints.effects import EFFECTS
from consumer.ports import OutboxMessage
from consumer.service.threads import Signal

_BATCH = 500

_log = structlog.get_logger(__name__)


class Outbox(Protocol):
    """The part of the ledger that the relay reads."""

    def outbox(self, limit: int) -> Sequence[OutboxMessage]:
        """Return events that are not relayed yet, oldest first."""
        ...

    def relayed(self, numbers: Sequence[int]) -> None:
        """Remove outbox messages that Kafka has acknowledged."""
        ...


class Sink(Protocol):
    """Where the events go."""

    def send(self, events: Sequence[Event]) -> None:
        """Send events and return once every one is acknowledged."""
        ...


class RelayMetrics(Protocol):
    """What a relay counts and measures."""

    def relayed(self, events: int) -> None:
        """Count the events that one look at the outbox has relayed."""
        ...

    def relay_failed(self) -> None:
        """Count a look at the outbox that failed."""
        ...


class OutboxRelay:
    """Sends the outbox's events and removes them once they are acknowledged.

    A crash in between sends them again, with the same ids. Several relays may run at once.
    """

    def __init__(
        self,
        outbox: Outbox,
        sink: Sink,
        failpoints: Failpoints | None = None,
        metrics: RelayMetrics | None = None,
    ) -> None:
        self._metrics = metrics
        self._failpoints = failpoints or Failpoints()
        self._outbox = outbox
        self._sink = sink

    def run_once(self) -> int:
        """Relay what the outbox holds now, and return how many events that were.

        Raises:
            LedgerUnavailableError, BrokerUnavailableError, AccessDeniedError
        """
        total = 0
        while messages := self._take():
            with self._failpoints.around("outbox.send"):
                self._sink.send([message.event for message in messages])
            with self._failpoints.around("outbox.remove"):
                self._outbox.relayed([message.number for message in messages])
            total += len(messages)
        return total

    def _take(self) -> Sequence[OutboxMessage]:
        before, after = EFFECTS["outbox.take"].points
        self._failpoints.hit(before)
        messages = self._outbox.outbox(_BATCH)
        if messages:
            self._failpoints.hit(after)
        return messages

    def run(self, stop: Signal, interval: timedelta) -> None:
        """Relay every ``interval`` until ``stop`` is set; passing errors are logged and tried again.

        Raises:
            IcehaulError: of any other class than the passing ones.
        """
        failing = False
        while not stop.is_set():
            try:
                relayed = self.run_once()
            except (TransientError, UnknownCommitError) as error:
                if not failing:
                    _log.warning("relay.failed", error=error.message, remedy=error.remedy)
                failing = True
                if self._metrics is not None:
                    self._metrics.relay_failed()
            else:
                if self._metrics is not None:
                    self._metrics.relayed(relayed)
                if relayed or failing:
                    _log.info("relay.sent", events=relayed)
                failing = False
            stop.wait(interval.total_seconds())
