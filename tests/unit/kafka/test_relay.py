from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from consumer.adapters.kafka.relay import OutboxRelay
from consumer.domain.errors import AccessDeniedError, BrokerUnavailableError, LedgerUnavailableError
from consumer.domain.event import Event
from consumer.domain.event_factory import tick
from consumer.ports import OutboxMessage
from consumer.testing.events import MemoryEventSink
from consumer.testing.telemetry import MemoryMetrics
from tests.support.waiting import wait_until

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


class Outbox:
    """Events numbered from 1, of which a few are handed out at a time; ``failures`` are raised by ``relayed``."""

    def __init__(self, count: int) -> None:
        self.waiting = {
            number: tick(stream="trades", boundary=NOON + timedelta(minutes=number)) for number in range(1, count + 1)
        }
        self.failures: list[Exception] = []

    def outbox(self, limit: int) -> Sequence[OutboxMessage]:
        chosen = sorted(self.waiting)[: min(limit, 3)]
        return [OutboxMessage(number=number, event=self.waiting[number]) for number in chosen]

    def relayed(self, numbers: Sequence[int]) -> None:
        if self.failures:
            raise self.failures.pop()
        for number in numbers:
            del self.waiting[number]


def _ids(events: Sequence[Event]) -> list[str]:
    return [event.id for event in events]


def test_the_whole_outbox_is_sent_in_order_and_emptied() -> None:
    outbox, sink = Outbox(7), MemoryEventSink()
    expected = _ids(list(outbox.waiting.values()))
    relay = OutboxRelay(outbox, sink)
    assert relay.run_once() == 7
    assert _ids(sink.events) == expected
    assert outbox.waiting == {}
    assert relay.run_once() == 0


def test_what_was_not_acknowledged_stays_in_the_outbox() -> None:
    outbox, sink = Outbox(2), MemoryEventSink()
    sink.down = True
    with pytest.raises(BrokerUnavailableError):
        OutboxRelay(outbox, sink).run_once()
    assert len(outbox.waiting) == 2


def test_a_crash_before_the_removal_sends_the_same_ids_again() -> None:
    outbox, sink = Outbox(2), MemoryEventSink()
    outbox.failures = [LedgerUnavailableError("gone", remedy="wait")]
    with pytest.raises(LedgerUnavailableError):
        OutboxRelay(outbox, sink).run_once()
    OutboxRelay(outbox, sink).run_once()
    first, second = sink.events[:2], sink.events[2:]
    assert _ids(first) == _ids(second)


def test_the_loop_goes_on_after_a_passing_error_and_ends_when_it_is_told() -> None:
    outbox, sink = Outbox(4), MemoryEventSink()
    sink.down = True
    stop = threading.Event()
    thread = threading.Thread(target=OutboxRelay(outbox, sink).run, args=(stop, timedelta(milliseconds=5)))
    thread.start()
    sink.down = False
    wait_until(lambda: not outbox.waiting)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def test_the_loop_ends_by_an_error_that_does_not_pass() -> None:
    outbox = Outbox(1)
    outbox.failures = [AccessDeniedError("no", remedy="grant it")]
    with pytest.raises(AccessDeniedError):
        OutboxRelay(outbox, MemoryEventSink()).run(threading.Event(), timedelta(milliseconds=5))


def test_what_was_relayed_and_what_failed_is_counted() -> None:
    outbox, sink, metrics = Outbox(4), MemoryEventSink(), MemoryMetrics()
    sink.down = True
    stop = threading.Event()
    relay = OutboxRelay(outbox, sink, metrics=metrics)
    thread = threading.Thread(target=relay.run, args=(stop, timedelta(milliseconds=5)))
    thread.start()
    wait_until(lambda: metrics.counts["relay_failed"] >= 2)
    assert metrics.counts["relayed"] == 0
    sink.down = False
    wait_until(lambda: metrics.counts["relayed"] == 4)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
