"""How a stream's start, and what is backfilled below it, look in the reports of other commands."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.text import Text

from consumer.domain.backfill import BackfillRequest
from consumer.domain.phrasing import counted
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING
from consumer.entrypoints.cli.output import instant, span
from consumer.service.status import StreamStatus


def history_lines(one: StreamStatus) -> Iterator[Text]:
    """Yield what `icehaul status` says of a stream's start and its open backfills."""
    if one.record is not None and one.other_start:
        yield Text(f"{one.stream.name}: {other_start(one.stream, one.record.start)}", style="yellow")
    for request in one.backfills:
        yield Text(f"{one.stream.name}: backfill of {request_line(request)}", style="cyan")


def other_start(stream: Stream, start: datetime) -> str:
    """Say that the configured start is not the one that counts."""
    return (
        f"start {_start(stream.begins)} is configured, but the stream has started at {_start(start)}, and that counts;"
        " what is missing below it comes by `icehaul backfill`"
    )


def request_line(request: BackfillRequest) -> str:
    """Say how far an open request is."""
    whole = request.window.upper - request.window.lower
    share = (request.position - request.window.lower) / whole
    done = f"{counted(request.rows, 'row')} in {counted(request.windows, 'window')}"
    return f"{span(request.window)}: {share:.0%} done, up to {instant(request.position)}, {done}"


def request_data(request: BackfillRequest) -> dict[str, Any]:
    """Return a request as plain data."""
    return {
        "request_id": request.id,
        "stream": request.stream,
        "from": request.window.lower,
        "to": request.window.upper,
        "position": request.position,
        "state": request.state,
        "windows": request.windows,
        "rows": request.rows,
        "bytes": request.bytes,
        "requested_by": request.requested_by,
        "requested": request.requested,
        "ended": request.ended,
    }


def _start(start: datetime) -> str:
    return "the beginning" if start == BEGINNING else instant(start)
