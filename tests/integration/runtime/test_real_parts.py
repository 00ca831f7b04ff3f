"""Producer, codec, dead letters and runtime together."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from confluent_kafka import Consumer

from consumer.adapters.kafka.codec import decode_message
from consumer.adapters.kafka.consumer import KafkaEventSource, KafkaMessage
from consumer.adapters.kafka.dead_letters import KafkaDeadLetters
from consumer.adapters.kafka.producer import KafkaEventSink
from consumer.domain.event_factory import tick
from consumer.service.runtime.loop import EventLoop
from consumer.settings.connections import ConsumerSettings, KafkaSettings
from consumer.testing.telemetry import MemoryMetrics, MemoryTracing
from tests.support.kafka_group import Handled, Topic
from tests.support.waiting import wait_until

BOUNDARY = datetime(2025, 1, 1, 12, 15, tzinfo=UTC)


def dead_letters(kafka: KafkaSettings, count: int) -> list[KafkaMessage]:
    """Read the dead-letter topic from its beginning."""
    client = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": f"{kafka.group}-reader",
            "auto.offset.reset": "earliest",
        }
    )
    client.subscribe([kafka.dead_letter_topic])
    found: list[KafkaMessage] = []

    def read() -> bool:
        message = client.poll(0.2)
        if message is not None and message.error() is None:
            found.append(message)
        return len(found) == count

    try:
        wait_until(read)
    finally:
        client.close()
    return found


def test_an_event_is_one_trace_from_its_production_to_its_commit_and_nonsense_is_kept_byte_for_byte(
    topic: Topic,
) -> None:
    kafka, settings = topic.settings, ConsumerSettings()
    tracing, metrics, handled = MemoryTracing(), MemoryMetrics(), Handled()
    letters = KafkaDeadLetters(kafka)
    sink = KafkaEventSink(kafka, tracer=tracing.tracer)
    loop = EventLoop[KafkaMessage](
        settings=settings,
        group=kafka.group,
        source=KafkaEventSource(kafka, settings, metrics),
        decode=decode_message,
        handler=handled,
        dead_letters=letters,
        metrics=metrics,
        tracer=tracing.tracer,
    )
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    try:
        sink.send([tick(stream="trades", boundary=BOUNDARY)])
        topic.send('{"specversion": "1.0", "id":')
        wait_until(lambda: topic.committed() == 2, seconds=60)
    finally:
        loop.stop()
        thread.join(30)
        sink.close()
        letters.close()
    assert not thread.is_alive()
    (event,) = handled.done
    assert (event.stream, event.cutoff) == ("trades", BOUNDARY)
    (sent,) = tracing.named(f"send {kafka.topic}")
    assert sent.context is not None
    same = [span.name for span in tracing.spans if span.context and span.context.trace_id == sent.context.trace_id]
    assert sorted(same) == sorted(f"{step} {kafka.topic}" for step in ("send", "poll", "process", "commit"))
    (letter,) = dead_letters(kafka, 1)
    assert letter.value() == b'{"specversion": "1.0", "id":'
    headers = dict(letter.headers() or [])
    assert headers["icehaul-offset"] == b"1"
    reason = headers["icehaul-reason"]
    assert isinstance(reason, bytes)
    assert metrics.counts[f"dead_letter {reason.decode()}"] == 1
