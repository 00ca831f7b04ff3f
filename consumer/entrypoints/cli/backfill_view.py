"""How `icehaul backfill` looks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.domain.backfill import BackfillRequest, BackfillState
from consumer.domain.phrasing import counted
from consumer.entrypoints.cli.history_view import request_data
from consumer.entrypoints.cli.output import human, instant, size, span
from consumer.entrypoints.cli.records import Column, Records
from consumer.service.backfill.requests import BackfillProgress


def plan_text(planned: BackfillProgress, *, dry: bool) -> RenderableType:
    """Return what a request will do, or would."""
    request = planned.request
    stretches = Records(
        f"backfill of {request.stream}: {span(request.window)}",
        [Column("to be done (UTC)"), Column("long", right=True)],
    )
    for one in planned.rest:
        stretches.add(span(one), human(one.upper - one.lower))
    left_out = (request.window.upper - request.window.lower) - sum(
        (one.upper - one.lower for one in planned.rest), timedelta(0)
    )
    lines = [f"{counted(planned.rows, 'row')}, about {size(planned.bytes)} in the source{_about(planned)}"]
    if left_out:
        lines.append(f"{human(left_out)} of the range are done already, or live, and left out")
    requests = counted(len(planned.order), "request")
    if len(planned.order) > 1:
        lines.append(f"in {requests}, the newest rows first: {span(planned.order[0])}, and so on back")
    lines.append(
        "nothing was asked for: leave --dry-run out to do so"
        if dry
        else f"{_named(planned)} recorded; the consumers do it: icehaul backfill --list {request.stream}"
    )
    return Group(stretches, *map(Text, lines))


def plan_data(planned: BackfillProgress, *, dry: bool) -> dict[str, Any]:
    """Return the same as plain data."""
    order = [{"from": one.lower, "to": one.upper} for one in planned.order]
    return {"dry_run": dry, **_progress_data(planned), "order": order}


def progress_text(found: Sequence[BackfillProgress]) -> RenderableType:
    """Return every request, and what is still to be done of it."""
    records = Records(
        counted(len(found), "request"),
        [
            Column("stream"),
            Column("state"),
            Column("range (UTC)"),
            Column("done up to"),
            Column("rows done", right=True),
            Column("windows", right=True),
            Column("rows left", right=True),
            Column("takes about", right=True),
            Column("asked for by"),
        ],
        head=2,
    )
    for one in found:
        request = one.request
        open_ = request.state is BackfillState.OPEN
        records.add(
            request.stream,
            Text(request.state, style="cyan" if open_ else "green" if request.state is BackfillState.DONE else "dim"),
            span(request.window),
            instant(request.position),
            f"{request.rows:,}",
            f"{request.windows:,}",
            f"{one.rows:,}" if open_ else "-",
            human(timedelta(seconds=one.seconds)) if open_ and one.seconds is not None else "-",
            f"{request.requested_by}, {instant(request.requested.replace(microsecond=0))}",
        )
    return records


def progress_data(found: Sequence[BackfillProgress]) -> dict[str, Any]:
    """Return the same as plain data."""
    return {"requests": [_progress_data(one) for one in found]}


def cancelled_text(ended: Sequence[BackfillRequest]) -> RenderableType:
    """Return what was cancelled, and what stays of it."""
    return Group(
        *(
            Text(
                f"{one.stream}: the backfill of {span(one.window)} is cancelled at {instant(one.position)};"
                f" {counted(one.rows, 'row')} in {counted(one.windows, 'window')} stay in the cold tier"
            )
            for one in ended
        )
    )


def cancelled_data(ended: Sequence[BackfillRequest]) -> dict[str, Any]:
    """Return the same as plain data."""
    return {"cancelled": [request_data(one) for one in ended]}


def _progress_data(one: BackfillProgress) -> dict[str, Any]:
    return {
        **request_data(one.request),
        "remaining": [{"from": rest.lower, "to": rest.upper} for rest in one.rest],
        "remaining_rows": one.rows,
        "remaining_bytes": one.bytes,
        "estimated_seconds": one.seconds,
    }


def _named(planned: BackfillProgress) -> str:
    further = len(planned.order) - 1
    return f"request {planned.request.id}" + (f" and {further} more are" if further > 0 else " is")


def _about(planned: BackfillProgress) -> str:
    if planned.seconds is None:
        return ""
    return f"; about {human(timedelta(seconds=planned.seconds))} at the rate of the stream's latest batches"
