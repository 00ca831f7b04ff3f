"""Spans on their way out, without the secrets that an exception or an attribute quotes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status
from opentelemetry.util.types import AttributeValue

from consumer.adapters.telemetry.redaction import scrub


class ScrubbedSpans(SpanExporter):
    """Hands spans to another exporter once their texts are scrubbed.

    OpenTelemetry records whatever exception leaves a span, with its traceback and those that caused it.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export the spans as the other exporter does."""
        return self._exporter.export([_scrubbed(span) for span in spans])

    def shutdown(self) -> None:
        """Shut the other exporter down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the other exporter."""
        return self._exporter.force_flush(timeout_millis)


def _scrubbed(span: ReadableSpan) -> ReadableSpan:
    description = span.status.description
    return ReadableSpan(
        name=scrub(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_texts(span.attributes),
        events=[Event(event.name, _texts(event.attributes), event.timestamp) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code, None if description is None else scrub(description)),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _texts(attributes: Mapping[str, AttributeValue] | None) -> dict[str, AttributeValue]:
    return {name: _text(value) for name, value in (attributes or {}).items()}


def _text(value: AttributeValue) -> AttributeValue:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Sequence):
        texts = [scrub(one) for one in value if isinstance(one, str)]
        return texts if len(texts) == len(value) else value
    return value
