from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Producer, murmur2
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from structlog.testing import capture_logs

from consumer.adapters.kafka.codec import AnyHeaders, decode_message, encode, raw_headers
from consumer.adapters.kafka.dead_letters import MAX_LETTER_BYTES, KafkaDeadLetters
from consumer.adapters.kafka.placement import PlacedEvents
from consumer.adapters.kafka.producer import KafkaEventSink
from consumer.adapters.kafka.topics import Topics
from consumer.domain.errors import BrokerUnavailableError, ConfigurationError, InvalidEventError
from consumer.domain.event import Event
from consumer.domain.event_factory import tick
from consumer.domain.invalid_reason import InvalidReason
from consumer.embedded.stack import EmbeddedStack
from consumer.settings.connections import KafkaSettings
from tests.support.java_partitioner import java_partitioner
from tests.support.kafka_topics import kafka_settings, read_topic

TICK = tick(stream="trades", boundary=datetime(2025, 3, 1, 12, 15, tzinfo=UTC))
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STREAMS = ("a", "Zz_9", "trades", "bronze_trades_binance", "gold_ohlcv_1m", "x" * 127)


@pytest.fixture
def settings(stack: EmbeddedStack, unique_name: str) -> KafkaSettings:
    settings = kafka_settings(stack, unique_name, partitions=12)
    Topics(settings).ensure()
    return settings


@pytest.fixture
def sink(settings: KafkaSettings) -> Iterator[KafkaEventSink]:
    sink = KafkaEventSink(settings)
    yield sink
    sink.close()


def test_a_stream_stands_where_java_producers_put_it(
    settings: KafkaSettings, sink: KafkaEventSink, tmp_path: Path
) -> None:
    sink.send([tick(stream=stream, boundary=TICK.cutoff) for stream in STREAMS])
    found = {(message.key() or b"").decode(): message.partition() for message in read_topic(settings, settings.topic)}
    with java_partitioner(tmp_path) as java:
        assert found == {stream: java.partitionForKey(stream.encode(), 12) for stream in STREAMS}
    assert found == {stream: murmur2(stream.encode(), 12) for stream in STREAMS}


def test_a_producer_with_another_partitioner_is_told_of_and_its_events_are_handled(settings: KafkaSettings) -> None:
    message = encode(TICK)
    kcat = Producer({"bootstrap.servers": settings.bootstrap_servers})  # librdkafka's default: CRC32
    streams = [f"stream_{number}" for number in range(8)]
    for stream in streams:
        value = message.value.replace(b"trades", stream.encode())
        kcat.produce(settings.topic, key=stream.encode(), value=value, headers=list(message.headers))
    assert kcat.flush(10) == 0
    placed = PlacedEvents(Topics(settings).event_partitions)
    with capture_logs() as said:
        events = [placed.decode(message) for _ in range(2) for message in read_topic(settings, settings.topic)]
    # Each is handled; each stream that stands where murmur2 does not put it is told of, once.
    assert {event.stream for event in events} == set(streams)
    wrong = {event.stream for event in events if place_of(event) != murmur2(event.stream.encode(), 12)}
    assert wrong
    assert sorted(entry["stream"] for entry in said) == sorted(wrong)
    assert all("murmur2_random" in entry["remedy"] and entry["log_level"] == "error" for entry in said)


def place_of(event: Event) -> int:
    assert event.coordinates is not None
    return event.coordinates.partition


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(spans: InMemorySpanExporter) -> Tracer:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return provider.get_tracer("test")


def test_each_message_has_a_span_and_carries_its_context(
    settings: KafkaSettings, tracer: Tracer, spans: InMemorySpanExporter
) -> None:
    sink = KafkaEventSink(settings, tracer=tracer)
    with tracer.start_as_current_span("emit") as emit:
        sink.send([TICK, replace(TICK, traceparent=TRACE)])
    sink.close()
    own, continued = [span for span in spans.get_finished_spans() if span.kind is SpanKind.PRODUCER]
    assert own.parent is not None
    assert own.parent.span_id == emit.get_span_context().span_id
    assert continued.parent is not None
    assert f"{continued.parent.trace_id:032x}-{continued.parent.span_id:016x}" in TRACE
    for number, (span, message) in enumerate(zip((own, continued), read_topic(settings, settings.topic), strict=True)):
        context = span.context
        assert context is not None
        event = decode_message(message)
        assert event.traceparent is not None
        assert event.traceparent.startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-")
        assert span.name == f"send {settings.topic}"
        assert dict(span.attributes or {}) == {
            "messaging.system": "kafka",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": settings.topic,
            "messaging.destination.partition.id": str(message.partition()),
            "messaging.kafka.offset": number,
            "messaging.kafka.message.key": "trades",
            "messaging.message.id": TICK.id,
        }


def test_a_span_of_what_was_not_sent_says_so(
    settings: KafkaSettings, tracer: Tracer, spans: InMemorySpanExporter
) -> None:
    nowhere = settings.model_copy(update={"bootstrap_servers": "127.0.0.1:9"})
    sink = KafkaEventSink(nowhere, tracer=tracer, timeout_s=1)
    with pytest.raises(BrokerUnavailableError, match=r"1 of 1 not acknowledged"):
        sink.send([TICK])
    sink.close()
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "BrokerUnavailableError"


def test_a_missing_topic_is_named_with_the_command_that_creates_it(stack: EmbeddedStack, unique_name: str) -> None:
    settings = kafka_settings(stack, unique_name, options={"topic.metadata.propagation.max.ms": "500"})
    sink = KafkaEventSink(settings, timeout_s=10)
    with pytest.raises(BrokerUnavailableError, match=unique_name) as caught:
        sink.send([TICK])
    sink.close()
    assert "icehaul topics" in caught.value.remedy


@pytest.mark.parametrize("option", ["acks", "enable.idempotence", "partitioner"])
def test_options_that_the_guarantees_rest_on_are_refused(stack: EmbeddedStack, unique_name: str, option: str) -> None:
    with pytest.raises(ConfigurationError, match=option):
        KafkaEventSink(kafka_settings(stack, unique_name, options={option: "0"}))


HEADERS: list[tuple[str, bytes | None]] = [("ce_id", b"\xff\x00"), ("ce_id", b"2"), ("empty", None), ("\u00e9", b"")]
ERROR = InvalidEventError("data is not JSON: 'x'", remedy="correct it", reason=InvalidReason.NOT_JSON)


@pytest.mark.parametrize(
    ("key", "value"), [(b"trades", b"\xff{\x00"), (None, b""), (b"", None), (b"\xfe", b"0" * 800_000)]
)
def test_a_dead_letter_is_the_message_byte_for_byte_with_reason_and_place(
    settings: KafkaSettings, key: bytes | None, value: bytes | None
) -> None:
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
    producer.produce(settings.topic, key=key, value=value, headers=list(HEADERS), partition=3)
    assert producer.flush(10) == 0
    (message,) = read_topic(settings, settings.topic)
    letters = KafkaDeadLetters(settings)
    letters.send(message, ERROR)
    letters.close()
    (letter,) = read_topic(settings, settings.dead_letter_topic)
    assert (letter.key(), letter.value()) == (key, value)
    headers = raw_headers(letter)
    assert headers[: len(HEADERS)] == HEADERS
    added = dict(headers[len(HEADERS) :])
    assert datetime.fromisoformat((added.pop("icehaul-time") or b"").decode()).tzinfo is not None
    assert added == {
        "icehaul-reason": b"not-json",
        "icehaul-error": str(ERROR).encode(),
        "icehaul-topic": settings.topic.encode(),
        "icehaul-partition": b"3",
        "icehaul-offset": b"0",
    }


class Oversize:
    """A message that is greater than what the dead-letter topic takes."""

    def topic(self) -> str:
        return "events"

    def partition(self) -> int:
        return 1

    def offset(self) -> int:
        return 2

    def key(self) -> bytes:
        return b"k" * 200_000

    def value(self) -> bytes:
        return b"v" * 50_000_000

    def headers(self) -> AnyHeaders:
        return [("small", b"1"), ("large", b"h" * 2_000_000), ("small", b"2")]


def test_an_oversize_message_is_cut_off_and_says_so(settings: KafkaSettings) -> None:
    letters = KafkaDeadLetters(settings)
    letters.send(Oversize(), InvalidEventError("x" * 10_000, remedy="y", reason=InvalidReason.TOO_LARGE))
    letters.close()
    (letter,) = read_topic(settings, settings.dead_letter_topic)
    headers = raw_headers(letter)
    assert dict(headers)["icehaul-cut-off"] == b"52200017 bytes"
    assert headers[0] == ("small", b"1")
    assert 700_000 < len(letter.value() or b"") <= MAX_LETTER_BYTES


def test_a_dead_letter_that_is_not_acknowledged_is_an_error(settings: KafkaSettings) -> None:
    letters = KafkaDeadLetters(settings.model_copy(update={"bootstrap_servers": "127.0.0.1:9"}), timeout_s=1)
    with pytest.raises(BrokerUnavailableError):
        letters.send(Oversize(), ERROR)
    letters.close()
