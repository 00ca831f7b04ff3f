"""How `icehaul plan` looks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.domain.mode_rules import mode_meaning
from consumer.domain.phrasing import counted
from consumer.domain.window import BEGINNING
from consumer.domain.writer import WriterChoice
from consumer.entrypoints.cli.history_view import other_start, request_data, request_line
from consumer.entrypoints.cli.output import human, instant, size, span
from consumer.entrypoints.cli.records import Column, Records
from consumer.service.preview import Preview


def plan_text(preview: Preview) -> RenderableType:
    """Return the cutoff with its reason, and the batches with their windows, units and rows."""
    stream = preview.stream
    parts: list[RenderableType] = [
        Text(f"{stream.name}: {stream.source} → {stream.target}", style="bold"),
        Text(f"mode       {stream.mode}: {mode_meaning(stream.mode)}"),
        Text(f"watermark  {instant(_watermark(preview)) if _watermark(preview) else 'nothing has been read yet'}"),
        Text(f"cutoff     {instant(preview.cutoff.instant)} ({preview.cutoff.reason}: {preview.cutoff.detail})"),
    ]
    if preview.start != BEGINNING:
        parts.append(Text(f"start      {instant(preview.start)}: rows before it come by `icehaul backfill` only"))
    if preview.stream.begins != preview.start:
        parts.append(Text(other_start(preview.stream, preview.start), style="yellow"))
    parts += [Text(f"backfill   {request_line(one)}, one batch after each event") for one in preview.backfills]
    if preview.creates_target:
        parts.append(Text(f"target     {stream.target} does not exist yet: the first batch makes it"))
    parts += [Text(f"columns    {change} (with the next rows)") for change in preview.changes]
    if preview.halted:
        parts.append(Text(f"halted     events are parked until `icehaul resume {stream.name}`", style="red"))
    if preview.obstacle is not None:
        parts.append(Text(f"obstacle   {preview.obstacle}", style="red"))
    if preview.batches:
        parts.append(_batches(preview))
        parts.append(Text(_speed(preview)))
    else:
        parts.append(Text("nothing to do: the watermark has reached the cutoff"))
    if preview.writers:
        parts.append(Text(_writers(preview.writers)))
    if preview.queries:
        parts.append(Text(f"\nfirst of {len(preview.queries)} reading queries of the first batch with rows:"))
        # Unbroken: a line's end inside a literal would make another query of what somebody copies from here.
        parts.append(Text(preview.queries[0], style="dim", no_wrap=True, overflow="ignore"))
    return Group(*parts)


def _batches(preview: Preview) -> Records:
    found = counted(len(preview.batches), "batch", "batches")
    records = Records(
        f"the first {found}; the others are planned when it is their turn" if preview.more else found,
        [
            Column("window (UTC)"),
            Column("units", right=True),
            Column("rows", right=True),
            Column("source bytes", right=True),
            Column("takes about", right=True),
        ],
    )
    for batch in preview.batches:
        records.add(
            span(batch.window),
            str(len(batch.units)),
            f"{batch.rows:,}",
            size(batch.bytes),
            _about(preview.seconds(batch)),
        )
    return records


def _speed(preview: Preview) -> str:
    if preview.rate is None:
        return "how long it takes is not known yet: the stream has published no batch"
    total = _about(_total_seconds(preview))
    return f"together about {total}, at the {preview.rate:,.0f} rows/s of the stream's latest batches"


def _writers(choices: Sequence[WriterChoice]) -> str:
    """Return how the units of the first batch with rows are written: one line, as long as they are written alike."""
    first = choices[0]
    others = sum(choice.writer is not first.writer for choice in choices)
    rest = f"; {others} of its {len(choices)} units otherwise" if others else ""
    return f"writer of the first batch with rows: {first.writer} ({first.reason}){rest}"


def _about(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.1f}s" if seconds < 60 else human(timedelta(seconds=seconds))


def _total_seconds(preview: Preview) -> float | None:
    return None if preview.rate is None else sum(batch.rows for batch in preview.batches) / preview.rate


def _watermark(preview: Preview) -> Any:  # noqa: ANN401 - an instant, or nothing
    return None if preview.watermark == preview.start else preview.watermark


def plan_data(preview: Preview) -> dict[str, Any]:
    """Return the same as plain data."""
    return {
        "stream": preview.stream.name,
        "source": str(preview.stream.source),
        "target": str(preview.stream.target),
        "mode": preview.stream.mode,
        "watermark": _watermark(preview),
        "start": None if preview.start == BEGINNING else preview.start,
        "backfills": [request_data(one) for one in preview.backfills],
        "cutoff": preview.cutoff.instant,
        "cutoff_reason": preview.cutoff.reason,
        "cutoff_detail": preview.cutoff.detail,
        "creates_target": preview.creates_target,
        "changes": list(preview.changes),
        "halted": preview.halted,
        "obstacle": str(preview.obstacle) if preview.obstacle is not None else None,
        "batches": [
            {
                "batch_id": None if preview.creates_target else batch.id,
                "lower": batch.window.lower,
                "upper": batch.window.upper,
                "rows": batch.rows,
                "estimated_bytes": batch.bytes,
                "estimated_seconds": preview.seconds(batch),
                "units": [
                    {"index": unit.index, "lower": unit.window.lower, "upper": unit.window.upper, "rows": unit.rows}
                    for unit in batch.units
                ],
            }
            for batch in preview.batches
        ],
        "more_batches": preview.more,
        "rows": sum(batch.rows for batch in preview.batches),
        "estimated_bytes": sum(batch.bytes for batch in preview.batches),
        "estimated_seconds": _total_seconds(preview),
        "rows_per_second": preview.rate,
        "queries": list(preview.queries),
        "writers": [{"writer": one.writer, "reason": one.reason} for one in preview.writers],
    }
