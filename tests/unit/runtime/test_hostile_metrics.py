"""Events of strangers, through the whole runtime into the metrics."""

from __future__ import annotations

import threading
from collections import deque

from consumer.adapters.telemetry.metrics import PrometheusMetrics
from consumer.domain.errors import BrokerUnavailableError, InvalidEventError
from consumer.domain.event import Event, EventType
from consumer.domain.invalid_reason import InvalidReason
from consumer.service.runtime.loop import EventLoop
from consumer.service.runtime.ports import Partition
from consumer.service.threads import Signal
from consumer.settings.connections import ConsumerSettings
from consumer.testing.runtime import MemoryDeadLetters, MemoryEventSource, MemoryMessage
from consumer.testing.telemetry import MemoryTracing
from tests.fuzz.hostile import VALUES
from tests.support.waiting import wait_until
from tests.unit.runtime.conftest import HOME, NOON

NAMES = [text for text in VALUES if isinstance(text, str)] * 5


def decode(message: MemoryMessage) -> Event:
    return Event(
        id=f"{message.number}",
        type=EventType.TICK,
        stream=f"{message.value}{message.number}",
        cutoff=NOON,
        source="strangers",
        time=NOON,
    )


def handle(event: Event, _abandon: Signal) -> None:
    raise InvalidEventError(f"no stream {event.stream}", remedy="none", reason=InvalidReason.UNKNOWN_STREAM)


def lines(metrics: PrometheusMetrics) -> set[str]:
    body, _ = metrics.render()
    return {line.rpartition(" ")[0] for line in body.decode("utf-8", "surrogatepass").splitlines() if line[0] != "#"}


def play(metrics: PrometheusMetrics, names: list[str]) -> None:
    source, letters = MemoryEventSource(), MemoryDeadLetters[MemoryMessage]()
    # Each letter fails once, so that attempts are counted by the stranger's stream, too.
    letters.failures = deque(BrokerUnavailableError("down", remedy="wait") for _ in names)
    loop = EventLoop[MemoryMessage](
        settings=ConsumerSettings(workers=16),
        group="group",
        source=source,
        decode=decode,
        handler=handle,
        dead_letters=letters,
        metrics=metrics,
        tracer=MemoryTracing().tracer,
    )
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    source.rebalance("assigned", HOME)
    for number, name in enumerate(names):
        source.send(HOME, number, name)
    try:
        wait_until(lambda: len(letters.letters) == len(names), seconds=60)
        wait_until(lambda: source.committed == {Partition(*HOME): len(names)}, seconds=60)
    finally:
        loop.stop_now()
        thread.join(60)
        assert not thread.is_alive()


def test_hostile_events_add_no_series() -> None:
    metrics = PrometheusMetrics(["trades"])
    metrics.begin("consumer", "1.0")
    play(metrics, ["nobody"])
    before = lines(metrics)
    play(metrics, NAMES)
    assert lines(metrics) == before
    assert not any("nobody" in line for line in before)
    body, _ = metrics.render()
    assert f'icehaul_dead_letters_total{{reason="unknown-stream"}} {len(NAMES) + 1}.0' in body.decode()
