"""The sink of events: the event topic."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import murmur2
from opentelemetry.context import Context
from opentelemetry.semconv._incubating.attributes import messaging_attributes as messaging
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, get_tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from consumer.adapters.kafka.codec import TRACEPARENT, encode
from consumer.adapters.kafka.delivery import Delivery, Record
from consumer.domain.errors import IcehaulError
from consumer.domain.event import Coordinates, Event
from consumer.settings.connections import KafkaSettings

TIMEOUT_S = 30.0
"""How long one call may wait for the broker."""

_PROPAGATOR = TraceContextTextMapPropagator()


class KafkaEventSink:
    """Sends events to the event topic, keyed by stream, each with a span of its own.

    The span continues the trace that the event carries, or else the current one; the message carries the
    span's context. Safe to use from several threads.
    """

    def __init__(self, settings: KafkaSettings, *, timeout_s: float = TIMEOUT_S, tracer: Tracer | None = None) -> None:
        # murmur2 is what Java producers use by default; librdkafka's own default would place keys elsewhere.
        self._delivery = Delivery(settings, topic=settings.topic, partitioner="murmur2", timeout_s=timeout_s)
        self._tracer = tracer or get_tracer("icehaul")

    def send(self, events: Sequence[Event]) -> None:
        """Send events and return once every one is acknowledged.

        On an error some may have been written; sending all again is harmless, since their ids stay the same.

        Raises:
            BrokerUnavailableError: if one is not acknowledged in time.
            AccessDeniedError: if the broker refuses this user.
        """
        spans: list[Span] = []
        try:
            records = [self._record(event, spans) for event in events]
            for span, place in zip(spans, self._delivery.send(records), strict=True):
                _locate(span, place)
        except IcehaulError as error:
            for span in spans:
                span.set_attribute(ERROR_TYPE, type(error).__qualname__)
                span.set_status(Status(StatusCode.ERROR, error.message))
            raise
        finally:
            for span in spans:
                span.end()

    def close(self) -> None:
        """Free the client."""
        self._delivery.close()

    def _record(self, event: Event, spans: list[Span]) -> Record:
        parent = None if event.traceparent is None else _PROPAGATOR.extract({TRACEPARENT: event.traceparent}, Context())
        span = self._tracer.start_span(
            f"send {self._delivery.topic}",
            context=parent,
            kind=SpanKind.PRODUCER,
            attributes={
                messaging.MESSAGING_SYSTEM: messaging.MessagingSystemValues.KAFKA.value,
                messaging.MESSAGING_DESTINATION_NAME: self._delivery.topic,
                messaging.MESSAGING_OPERATION_NAME: "send",
                messaging.MESSAGING_OPERATION_TYPE: messaging.MessagingOperationTypeValues.SEND.value,
                messaging.MESSAGING_MESSAGE_ID: event.id,
                messaging.MESSAGING_KAFKA_MESSAGE_KEY: event.stream,
            },
        )
        spans.append(span)
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, set_span_in_context(span, Context()))
        message = encode(event, traceparent=carrier.get(TRACEPARENT))
        return Record(key=message.key, value=message.value, headers=message.headers)


def _locate(span: Span, place: Coordinates) -> None:
    span.set_attribute(messaging.MESSAGING_DESTINATION_PARTITION_ID, str(place.partition))
    span.set_attribute(messaging.MESSAGING_KAFKA_OFFSET, place.offset)


def partition_of(stream: str, partitions: int) -> int:
    """Return the number of the partition, of so many, that the events of a stream go to."""
    return murmur2(stream.encode(), partitions)
