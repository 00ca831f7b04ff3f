"""A task's span stands below the context that was sent to it, with the times that it reported."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from consumer.adapters.spark.unit_spans import record_units
from consumer.domain.batch import Batch, BatchKind, WrittenFile
from consumer.domain.errors import IcehaulError, SourceUnavailableError
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.window import Window
from consumer.testing.telemetry import MemoryTracing
from spark.unit_task import UnitOutcome

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
BATCH = Batch(
    id=UUID(int=7),
    stream="trades",
    kind=BatchKind.WINDOW,
    window=Window(lower=NOON, upper=NOON + timedelta(days=1)),
    generation=1,
    units=(),
)
FILE = WrittenFile(unit=3, path="s3://b/3", bytes=99, fingerprint=Fingerprint(rows=5, digest=1))
TRACE = "0af7651916cd43dd8448eb211c80319c"
SENT = f"00-{TRACE}-b7ad6b7169203331-01"


def recorded(
    *, traceparent: str | None = SENT, file: WrittenFile | None = FILE, error: IcehaulError | None = None
) -> list[ReadableSpan]:
    tracing = MemoryTracing()
    outcome = UnitOutcome(
        unit=3, file=file, error=error, started_ns=10, ended_ns=25, traceparent=traceparent, host="worker-1", pid=4711
    )
    record_units(BATCH, [outcome], tracing.tracer)
    return list(tracing.spans)


def test_the_span_of_a_task_is_made_of_what_the_task_reported() -> None:
    (span,) = recorded()
    assert span.parent is not None
    assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, "b7ad6b7169203331")
    assert (span.name, span.start_time, span.end_time) == ("offload.unit", 10, 25)
    assert dict(span.attributes or {}) == {
        "offload.stream": "trades",
        "offload.batch.id": str(BATCH.id),
        "offload.unit": 3,
        "offload.writer": "stream",
        "offload.rows": 5,
        "offload.bytes": 99,
        "host.name": "worker-1",
        "process.pid": 4711,
    }


def test_a_task_that_failed_has_a_span_that_says_why() -> None:
    (span,) = recorded(file=None, error=SourceUnavailableError("no route to trades", remedy="r"))
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "no route to trades")
    assert (span.attributes or {})["error.type"] == "SourceUnavailableError"
    assert (span.attributes or {})["offload.rows"] == 0


def test_a_task_whose_trace_is_not_sampled_or_that_has_none_makes_no_span() -> None:
    assert recorded(traceparent=SENT[:-2] + "00") == []
    assert recorded(traceparent=None) == []
