"""Timing and tracing of the steps of a batch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from consumer.domain.event import Event
from consumer.ports import Metrics, Trigger

TRACER = "icehaul"


@contextmanager
def step(metrics: Metrics, stream: str, name: str, **attributes: AttributeValue) -> Iterator[Span]:
    """Run a step (claim, observe, plan, write, check, publish, reconcile) in a span ``offload.<name>``, and time it.

    Attribute names are given with ``_`` for ``.``: ``offload_batch_id`` becomes ``offload.batch_id``.
    """
    started = time.monotonic()
    with trace.get_tracer(TRACER).start_as_current_span(f"offload.{name}") as span:
        span.set_attribute("offload.stream", stream)
        for key, value in attributes.items():
            span.set_attribute(key.replace("_", "."), value)
        yield span
    metrics.step(stream, name, time.monotonic() - started)


def trigger_of(event: Event) -> Trigger:
    """Return what ledger and snapshot record of an event, with the trace that handles it now."""
    context = trace.get_current_span().get_span_context()
    return Trigger(
        event_id=event.id,
        coordinates=event.coordinates,
        trace_id=f"{context.trace_id:032x}" if context.is_valid else None,
        traceparent=current_traceparent(),
    )


def current_traceparent() -> str | None:
    """Return the W3C trace context of the present span, for work that goes on elsewhere; ``None`` without one."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
