"""Timing and tracing of the steps of a batch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from consumer.domain.event import Event
from consumer.ports import Metrics, Trigger

TRACER = "icehaul"

_timed: ContextVar[dict[str, float] | None] = ContextVar("timed steps", default=None)


@contextmanager
def step(metrics: Metrics, stream: str, name: str, **attributes: AttributeValue) -> Iterator[Span]:
    """Run a step (claim, observe, plan, write, check, publish, reconcile) in a span ``offload.<name>``, and time it.

    Attribute names are given with ``_`` for ``.``: ``offload_batch_id`` becomes ``offload.batch_id``.
    """
    started = time.monotonic()
    timed = _timed.get()
    try:
        with trace.get_tracer(TRACER).start_as_current_span(f"offload.{name}") as span:
            span.set_attribute("offload.stream", stream)
            for key, value in attributes.items():
                span.set_attribute(key.replace("_", "."), value)
            yield span
    finally:
        if timed is not None:
            timed[name] = timed.get(name, 0.0) + time.monotonic() - started
    metrics.step(stream, name, time.monotonic() - started)


@contextmanager
def timed_steps() -> Iterator[Mapping[str, float]]:
    """Collect the seconds of each step that runs inside, by its name; one that failed counts too."""
    seconds: dict[str, float] = {}
    token = _timed.set(seconds)
    try:
        yield seconds
    finally:
        _timed.reset(token)


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
