"""What every sink of events does: the real one on a real broker, and its stand-in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from opentelemetry.trace import NoOpTracer

from consumer.adapters.kafka.codec import decode_message
from consumer.adapters.kafka.producer import KafkaEventSink
from consumer.adapters.kafka.topics import Topics
from consumer.domain.errors import BrokerUnavailableError
from consumer.domain.event import Event
from consumer.domain.event_factory import batch_committed, tick
from consumer.emitter.ports import EventSink
from consumer.testing.events import MemoryEventSink
from tests.support.kafka_topics import kafka_settings, read_topic

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@dataclass
class Case:
    """A sink, another one that reaches nothing, and what the first one holds."""

    sink: EventSink
    unreachable: EventSink
    read: Callable[[], Sequence[Event]]


@pytest.fixture(params=["memory", "kafka"])
def case(request: pytest.FixtureRequest, unique_name: str) -> Iterator[Case]:
    if request.param == "memory":
        memory, down = MemoryEventSink(), MemoryEventSink()
        down.down = True
        yield Case(sink=memory, unreachable=down, read=lambda: memory.events)
        return
    settings = kafka_settings(request.getfixturevalue("stack"), unique_name)
    Topics(settings).ensure()
    # Without spans of its own the sink sends on exactly the trace that an event carries, or none.
    kafka = KafkaEventSink(settings, tracer=NoOpTracer())
    away = settings.model_copy(update={"bootstrap_servers": "127.0.0.1:9"})
    nowhere = KafkaEventSink(away, timeout_s=1, tracer=NoOpTracer())
    try:
        yield Case(
            sink=kafka,
            unreachable=nowhere,
            read=lambda: [
                replace(decode_message(message), coordinates=None) for message in read_topic(settings, settings.topic)
            ],
        )
    finally:
        kafka.close()
        nowhere.close()


def _ticks(stream: str, count: int) -> list[Event]:
    return [tick(stream=stream, boundary=NOON + timedelta(minutes=15 * number)) for number in range(count)]


def test_what_is_sent_is_there_when_send_returns_in_order_for_each_stream(case: Case) -> None:
    streams = {name: _ticks(name, 20) for name in ("trades", "bars", "books")}
    case.sink.send([event for group in zip(*streams.values(), strict=True) for event in group])
    found = case.read()
    assert {name: [event for event in found if event.stream == name] for name in streams} == streams


def test_nothing_sent_is_no_error(case: Case) -> None:
    case.sink.send([])
    assert list(case.read()) == []


def test_the_same_event_again_stands_there_again_with_the_same_id(case: Case) -> None:
    (event,) = _ticks("trades", 1)
    case.sink.send([event])
    case.sink.send([event])
    assert [found.id for found in case.read()] == [event.id, event.id]


def test_an_event_keeps_its_trace(case: Case) -> None:
    event = batch_committed(
        dependant="bars", upstream="trades", batch_id=UUID(int=7), watermark=NOON, time=NOON, traceparent=TRACE
    )
    case.sink.send([event])
    (found,) = case.read()
    assert found.traceparent is not None
    assert found.traceparent.split("-")[1] == TRACE.split("-")[1]


def test_a_broker_that_does_not_answer_is_an_error_that_passes(case: Case) -> None:
    with pytest.raises(BrokerUnavailableError) as caught:
        case.unreachable.send(_ticks("trades", 3))
    assert caught.value.remedy
