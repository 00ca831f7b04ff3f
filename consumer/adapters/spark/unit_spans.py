"""The spans of a batch's tasks: made by the driver of what each task reported, below the context that was sent to it.

A task has no exporter of its own: its worker may have no way to the collector, and must not wait for one.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.semconv._incubating.attributes.host_attributes import HOST_NAME
from opentelemetry.semconv._incubating.attributes.process_attributes import PROCESS_PID
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from consumer.domain.batch import Batch
from spark.unit_task import UnitOutcome

_PROPAGATOR = TraceContextTextMapPropagator()


def record_units(batch: Batch, outcomes: Sequence[UnitOutcome], tracer: Tracer) -> None:
    """Make a span ``offload.unit`` of each task: those that failed, and those that found no row, too."""
    for outcome in outcomes:
        if outcome.traceparent is None:
            continue
        span = tracer.start_span(
            "offload.unit",
            context=_PROPAGATOR.extract({"traceparent": outcome.traceparent}, context=Context()),
            start_time=outcome.started_ns,
            attributes=_attributes(batch, outcome),
        )
        if outcome.error is not None:
            span.set_attribute(ERROR_TYPE, type(outcome.error).__qualname__)
            span.set_status(Status(StatusCode.ERROR, outcome.error.message))
        span.end(end_time=outcome.ended_ns)


def _attributes(batch: Batch, outcome: UnitOutcome) -> dict[str, AttributeValue]:
    file = outcome.file
    return {
        "offload.stream": batch.stream,
        "offload.batch.id": str(batch.id),
        "offload.unit": outcome.unit,
        "offload.writer": outcome.writer.value,
        "offload.rows": 0 if file is None else file.fingerprint.rows,
        "offload.bytes": 0 if file is None else file.bytes,
        HOST_NAME: outcome.host,
        PROCESS_PID: outcome.pid,
    }
