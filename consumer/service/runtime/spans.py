"""Spans of polling, handling and acknowledging, by OpenTelemetry's messaging conventions.

Every trace that an event belongs to shows its whole way: a poll or a commit that serves several traces is
recorded in each of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.semconv._incubating.attributes import messaging_attributes as messaging
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from consumer.domain.event import Event
from consumer.service.runtime.ports import Partition

_Operation = messaging.MessagingOperationTypeValues
_PROPAGATOR = TraceContextTextMapPropagator()


def producer_context(event: Event | None) -> SpanContext | None:
    """Return the span context that the event's producer sent along, if it is a valid one."""
    if event is None or event.traceparent is None:
        return None
    context = _PROPAGATOR.extract({"traceparent": event.traceparent}, context=Context())
    found = get_current_span(context).get_span_context()
    return found if found.is_valid else None


class MessagingSpans:
    """Makes the spans of one consumer group member."""

    def __init__(self, tracer: Tracer, *, group: str) -> None:
        self._tracer = tracer
        self._group = group

    def polled(self, topic: str, events: Sequence[Event | None], messages: int, started_ns: int) -> None:
        """Record a poll that returned messages, in the trace of each of their producers."""
        attributes = self._attributes(topic, "poll", _Operation.RECEIVE)
        attributes[messaging.MESSAGING_BATCH_MESSAGE_COUNT] = messages
        parents = [context for context in map(producer_context, events) if context is not None]
        self._record(f"poll {topic}", attributes, parents, started_ns)

    def committed(
        self, partition: Partition, offset: int, handled: Iterable[SpanContext], started_ns: int, error: str | None
    ) -> None:
        """Record an offset commit, in the trace of each event that it acknowledges."""
        attributes = self._attributes(partition.topic, "commit", _Operation.SETTLE)
        attributes[messaging.MESSAGING_DESTINATION_PARTITION_ID] = str(partition.number)
        attributes[messaging.MESSAGING_KAFKA_OFFSET] = offset
        self._record(f"commit {partition.topic}", attributes, handled, started_ns, error)

    @contextmanager
    def process(self, partition: Partition, offset: int, events: Sequence[Event | None]) -> Iterator[Span]:
        """Open the span under which the first event is handled; the others, covered by it, are linked."""
        attributes = self._attributes(partition.topic, "process", _Operation.PROCESS)
        attributes[messaging.MESSAGING_DESTINATION_PARTITION_ID] = str(partition.number)
        attributes[messaging.MESSAGING_KAFKA_OFFSET] = offset
        if len(events) > 1:
            attributes[messaging.MESSAGING_BATCH_MESSAGE_COUNT] = len(events)
        first = events[0]
        if first is not None:
            attributes[messaging.MESSAGING_MESSAGE_ID] = first.id
        producers = [producer_context(event) for event in events]
        # By its id an event that was covered by another leads to the trace of the batch.
        links = [
            Link(context, {messaging.MESSAGING_MESSAGE_ID: event.id})
            for event, context in zip(events, producers, strict=True)
            if event is not None and context is not None
        ]
        with self._tracer.start_as_current_span(
            f"process {partition.topic}",
            context=_parent(producers[0]),
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=links,
        ) as span:
            try:
                yield span
            except Exception as error:
                span.set_attribute(ERROR_TYPE, type(error).__qualname__)
                raise

    @contextmanager
    def leftover(self, handled: SpanContext | None) -> Iterator[Span]:
        """Open the span under which something is done that an event has left, below the span that handled it."""
        with self._tracer.start_as_current_span("offload.leftover", context=_parent(handled)) as span:
            yield span

    def _attributes(self, topic: str, name: str, kind: _Operation) -> dict[str, AttributeValue]:
        return {
            messaging.MESSAGING_SYSTEM: messaging.MessagingSystemValues.KAFKA.value,
            messaging.MESSAGING_DESTINATION_NAME: topic,
            messaging.MESSAGING_OPERATION_NAME: name,
            messaging.MESSAGING_OPERATION_TYPE: kind.value,
            messaging.MESSAGING_CONSUMER_GROUP_NAME: self._group,
        }

    def _record(
        self,
        name: str,
        attributes: dict[str, AttributeValue],
        parents: Iterable[SpanContext],
        started_ns: int,
        error: str | None = None,
    ) -> None:
        by_trace: dict[int, list[SpanContext]] = {}
        for parent in parents:
            by_trace.setdefault(parent.trace_id, []).append(parent)
        ended_ns = time.time_ns()
        for family in by_trace.values() or [[]]:
            span = self._tracer.start_span(
                name,
                context=_parent(family[0] if family else None),
                kind=SpanKind.CLIENT,
                attributes=attributes,
                links=[Link(context) for context in family],
                start_time=started_ns,
            )
            if error is not None:
                span.set_attribute(ERROR_TYPE, error)
                span.set_status(Status(StatusCode.ERROR, error))
            span.end(ended_ns)


def _parent(context: SpanContext | None) -> Context:
    """Return a context whose current span is ``context``, and nothing else of the caller's."""
    return Context() if context is None else set_span_in_context(NonRecordingSpan(context), Context())
