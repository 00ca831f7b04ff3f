"""The emitter: one active process watches partitions and clock, and sends what they tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from consumer.domain.emission import Emission, EmitterLease
from consumer.domain.errors import (
    FencedError,
    LeaseHeldError,
    SourceUnavailableError,
    StreamError,
    TransientError,
    UnknownCommitError,
)
from consumer.domain.event import EventType
from consumer.domain.event_factory import partition_closed, tick
from consumer.domain.inventory import Inventory
from consumer.domain.stream import Stream
from consumer.emitter.closings import find_closings
from consumer.emitter.ports import EmitterMetrics, EmitterStore, EventSink, InventorySource
from consumer.emitter.ticks import due_tick
from consumer.failpoints.acting import Failpoints
from consumer.service.threads import SYSTEM_THREADS, Signal, Threads
from consumer.settings.emission import EmitterSettings

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round sent.

    Attributes:
        ticks: ticks sent.
        closes: partition closes sent.
        failed: streams whose partitions could not be looked at, with the reason.
    """

    ticks: int
    closes: int
    failed: Mapping[str, str]


class Emitter:
    """Sends ticks and partition closes while it holds the emitter's lease.

    Everything is recorded after Kafka has acknowledged it. A crash in between sends the same events again, with
    the same ids, and so does an emitter that lost its lease while it was sending: both are harmless.
    """

    def __init__(
        self,
        *,
        streams: Sequence[Stream],
        source: InventorySource,
        sink: EventSink,
        store: EmitterStore,
        settings: EmitterSettings,
        owner: str,
        threads: Threads = SYSTEM_THREADS,
        failpoints: Failpoints | None = None,
        metrics: EmitterMetrics | None = None,
    ) -> None:
        self._metrics = metrics
        self._turned = threads.monotonic()
        self._failpoints = failpoints or Failpoints()
        self._streams = tuple(streams)
        self._source = source
        self._sink = sink
        self._store = store
        self._settings = settings
        self._owner = owner
        self._clock = threads.monotonic
        self._lease_time = timedelta(seconds=settings.lease_seconds)
        self._lease: EmitterLease | None = None
        self._settled = False
        self._complaints: dict[str, str] = {}

    def run_once(self) -> Round:
        """Take the lease, send what is due now, and give the lease back.

        Raises:
            LeaseHeldError: if another emitter is active.
            FencedError: if another one took over in the middle.
            TransientError: if a server did not answer; doing the same again is safe.
        """
        lease = self._acquire()
        try:
            return self._round(lease)
        finally:
            self._release(lease)

    def run(self, stop: Signal) -> None:
        """Send what is due, every ``settings.poll``, until ``stop`` is set; stand by while another one is active.

        Passing errors are logged and tried again.

        Raises:
            IcehaulError: of a class that does not pass by itself.
        """
        poll, renewal = self._settings.poll.total_seconds(), self._lease_time.total_seconds() / 3
        next_round = 0.0
        try:
            while not stop.is_set():
                self._turned = self._clock()
                due = self._clock() >= next_round
                if not self._attempt(self._hold_and_send if due else self._hold):
                    next_round, pause = 0.0, min(poll, renewal)
                else:
                    next_round = self._clock() + poll if due else next_round
                    pause = min(renewal, max(0.0, next_round - self._clock()))
                stop.wait(pause)
        finally:
            self._give_up()

    @property
    def silence(self) -> float:
        """Seconds since the emitter began its last step."""
        return self._clock() - self._turned

    @property
    def settled(self) -> bool:
        """Whether it has held the lease once, or has found that another emitter does."""
        return self._settled

    def _attempt(self, step: Callable[[], object]) -> bool:
        """Do a step; ``False`` if it did not succeed, and may do so later."""
        try:
            step()
        except (LeaseHeldError, FencedError) as error:
            self._lease = None
            self._complain("lease", error.message, level="info")
            self._measure(active=False)
            self._settled = True
            return False
        except (TransientError, UnknownCommitError) as error:
            # What was sent or recorded without our knowing is sent again, with the same ids.
            self._complain("round", error.message, level="warning", remedy=error.remedy)
            return False
        self._measure(active=True)
        self._settled = True
        self._complaints.pop("lease", None)
        self._complaints.pop("round", None)
        return True

    def _hold_and_send(self) -> None:
        self._round(self._hold())

    def _hold(self) -> EmitterLease:
        """Renew the lease, or acquire it."""
        if self._lease is not None:
            self._renew(self._lease)
            return self._lease
        self._lease = self._acquire()
        _log.info("emitter.active", owner=self._owner, epoch=self._lease.epoch)
        return self._lease

    def _give_up(self) -> None:
        lease, self._lease = self._lease, None
        self._measure(active=False)
        if lease is None:
            return
        try:
            self._release(lease)
        except TransientError as error:
            # It expires by itself.
            _log.warning("emitter.lease_not_released", error=error.message)

    def _measure(self, *, active: bool) -> None:
        if self._metrics is not None:
            self._metrics.active(active=active)

    def _acquire(self) -> EmitterLease:
        with self._failpoints.around("emitter.claim"):
            return self._store.acquire(self._owner, self._lease_time)

    def _renew(self, lease: EmitterLease) -> None:
        with self._failpoints.around("emitter.renew"):
            self._store.renew(lease, self._lease_time)

    def _release(self, lease: EmitterLease) -> None:
        with self._failpoints.around("emitter.release"):
            self._store.release(lease)

    def _round(self, lease: EmitterLease) -> Round:
        now = self._source.now()
        ticks = self._tick(lease, now)
        sent = self._sent()
        closes = 0
        failed: dict[str, str] = {}
        for stream in self._streams:
            try:
                inventory = self._source.inventory(stream)
            except (StreamError, SourceUnavailableError) as error:
                failed[stream.name] = error.message
                self._complain(stream.name, error.message, level="warning", remedy=error.remedy)
                continue
            self._complaints.pop(stream.name, None)
            self._renew(lease)
            closes += self._close(lease, stream, inventory, sent.get(stream.name, {}), now)
        if self._metrics is not None:
            self._metrics.sent(EventType.TICK, ticks)
            self._metrics.sent(EventType.PARTITION_CLOSED, closes)
            self._metrics.round_ended(unseen=len(failed))
        return Round(ticks=ticks, closes=closes, failed=failed)

    def _sent(self) -> Mapping[str, Mapping[str, str]]:
        sent: dict[str, dict[str, str]] = {}
        for emission in self._store.emissions([stream.name for stream in self._streams]):
            sent.setdefault(emission.stream, {})[emission.partition_id] = emission.content_id
        return sent

    def _close(
        self, lease: EmitterLease, stream: Stream, inventory: Inventory, sent: Mapping[str, str], now: datetime
    ) -> int:
        quiet_for = max(self._settings.grace, stream.settle_lag)
        closings = find_closings(inventory, sent=sent, now=now, quiet_for=quiet_for)
        if not closings:
            return 0
        events = [
            partition_closed(
                stream=stream.name, table=inventory.table, partition=closing.partition, cutoff=closing.cutoff
            )
            for closing in closings
        ]
        emissions = [
            Emission(
                stream=stream.name,
                partition_id=closing.partition.id,
                content_id=closing.partition.content.id,
                cutoff=closing.cutoff,
                event_id=event.id,
            )
            for closing, event in zip(closings, events, strict=True)
        ]
        with self._failpoints.around("closes.send"):
            self._sink.send(events)
        with self._failpoints.around("closes.record"):
            self._store.record_emissions(lease, emissions)
        _log.info("emitter.closed", stream=stream.name, partitions=[closing.partition.id for closing in closings])
        return len(events)

    def _tick(self, lease: EmitterLease, now: datetime) -> int:
        if not self._settings.tick:
            return 0
        boundary = due_tick(now=now, last=self._store.last_tick(), every=self._settings.tick)
        if boundary is None or not self._streams:
            return 0
        events = [tick(stream=stream.name, boundary=boundary) for stream in self._streams]
        with self._failpoints.around("ticks.send"):
            self._sink.send(events)
        with self._failpoints.around("ticks.record"):
            self._store.record_tick(lease, boundary)
        _log.info("emitter.ticked", boundary=boundary.isoformat(), streams=len(events))
        return len(events)

    def _complain(self, subject: str, message: str, *, level: str, remedy: str | None = None) -> None:
        """Log a message once, not at each round."""
        if self._complaints.get(subject) != message:
            self._complaints[subject] = message
            log = _log.info if level == "info" else _log.warning
            log("emitter.waits", subject=subject, why=message, remedy=remedy)
