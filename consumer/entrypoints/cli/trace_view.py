"""How `icehaul trace` looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.adapters.telemetry.trace_tree import FileSpan, draw_trace
from consumer.domain.phrasing import counted
from consumer.entrypoints.cli.output import instant, span
from consumer.service.origins import Origin

_WIDTH = 10


class TraceState(StrEnum):
    """Whether a trace can be looked at."""

    FOUND = "found"
    """The trace file has it."""
    ELSEWHERE = "elsewhere"
    """It was recorded, but the trace file does not have it, or there is none."""
    NOT_SAMPLED = "not sampled"
    NONE = "none"
    """The batch was done by a process that makes no traces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A trace with the spans that the trace file has of it, and the address where it is shown."""

    trace_id: str | None
    state: TraceState
    url: str | None
    spans: Sequence[FileSpan] = ()


def trace_text(
    origins: Sequence[Origin], traces: Sequence[Trace], *, file: str | None, downstream: bool, statements: bool
) -> RenderableType:
    """Return the batches, oldest first, and their traces, drawn as far as that is possible."""
    parts: list[RenderableType] = []
    for origin in origins:
        parts += _origin(origin)
    if not origins:
        parts.append(Text("no batch: the event found nothing to do, or was not handled yet", style="yellow"))
    for trace in traces:
        if trace.url is not None:
            parts.append(_line("link", trace.url))
        parts.append(_state(trace, file))
        if trace.spans:
            parts.append(draw_trace(trace.spans, downstream=downstream, statements=statements))
    return Group(*(part for part in parts if part))


def trace_data(origins: Sequence[Origin], traces: Sequence[Trace]) -> dict[str, Any]:
    """Return the same as plain data, with every span that the trace file has."""
    return {"batches": [_origin_data(one) for one in origins], "traces": [_trace_data(one) for one in traces]}


def _origin(origin: Origin) -> Iterator[RenderableType]:
    rows = counted(origin.rows, "row")
    yield Text.assemble(("batch ", "bold"), str(origin.batch_id), ("  of stream ", "dim"), origin.stream)
    yield _line("window", f"{span(origin.window)}  ({origin.kind}, {origin.status}, {rows})")
    if origin.snapshot_id is not None:
        yield _line("snapshot", str(origin.snapshot_id))
    for event in origin.event_ids:
        yield _line("event", event)
    if origin.coordinates is not None:
        at = origin.coordinates
        yield _line("kafka", f"topic {at.topic}, partition {at.partition}, offset {at.offset}")
    if origin.ended is not None:
        yield _line("ended", f"{instant(origin.ended)} UTC")
    if origin.trace_id is not None:
        yield _line("trace", origin.trace_id)


def _line(name: str, value: str) -> Text:
    return Text.assemble((f"  {name:<{_WIDTH}}", "dim"), value)


def _state(trace: Trace, file: str | None) -> Text:
    match trace.state:
        case TraceState.NONE:
            return Text("no trace: the batch was done by a process that made none", style="yellow")
        case TraceState.NOT_SAMPLED:
            return Text(
                f"trace {trace.trace_id} was not sampled: nothing of it was recorded anywhere; telemetry.sample_ratio,"
                " of the process that sent the event, says how many traces are",
                style="yellow",
            )
        case TraceState.ELSEWHERE if file is None:
            return Text("not drawn: telemetry.trace_file is not set; look where spans are sent to", style="dim")
        case TraceState.ELSEWHERE:
            return Text(f"not drawn: {file} has no span of it; look where spans are sent to", style="dim")
        case _:
            return Text("")


def _origin_data(origin: Origin) -> dict[str, Any]:
    at = origin.coordinates
    return {
        "stream": origin.stream,
        "batch_id": origin.batch_id,
        "kind": origin.kind,
        "status": origin.status,
        "lower": origin.window.lower,
        "upper": origin.window.upper,
        "rows": origin.rows,
        "snapshot_id": origin.snapshot_id,
        "events": list(origin.event_ids),
        "kafka": None if at is None else {"topic": at.topic, "partition": at.partition, "offset": at.offset},
        "trace_id": origin.trace_id,
        "sampled": origin.sampled,
        "started": origin.started,
        "ended": origin.ended,
    }


def _trace_data(trace: Trace) -> dict[str, Any]:
    return {
        "trace_id": trace.trace_id,
        "state": trace.state,
        "url": trace.url,
        "spans": [
            {
                "name": one.name,
                "span_id": one.span_id,
                "parent_id": one.parent_id,
                "service": one.service,
                "started": datetime.fromtimestamp(one.started_ns / 1e9, UTC),
                "milliseconds": round((one.ended_ns - one.started_ns) / 1e6, 3),
                "failed": one.failed,
                "attributes": dict(one.attributes),
                "linked": list(one.linked),
            }
            for one in trace.spans
        ],
    }
