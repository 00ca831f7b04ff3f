"""How `icehaul repair` looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.domain.phrasing import counted
from consumer.domain.repair import KnownBatch
from consumer.domain.stream import Stream
from consumer.entrypoints.cli.output import instant, span
from consumer.entrypoints.cli.records import Column, Records
from consumer.ports import StreamState
from consumer.service.repair.examination import Examination


def repair_text(stream: Stream, found: Examination, *, dry: bool) -> RenderableType:
    """Return what ledger and table say, what differs, and what becomes of it."""
    record, evidence = found.record, found.evidence
    ledger = (
        "nothing" if record.last_batch_id is None else f"{_upto(record.last_upper)}, last batch {record.last_batch_id}"
    )
    table = "nothing"
    if found.target is None:
        table = "nothing: the table is not there"
    elif evidence is not None:
        table = f"{_upto(evidence.upper)}, last batch {evidence.batch_id}"
    parts: list[RenderableType] = [
        Text(f"{stream.name}: {stream.source} → {stream.target}", style="bold"),
        Text(f"ledger     {ledger}; watermark {instant(record.watermark)}"),
        Text(f"table      {table}"),
    ]
    if found.needed:
        parts.append(Text(f"watermark  {instant(record.watermark)} → {instant(found.watermark)}", style="yellow"))
        parts += _batches(found)
        parts += _windows(found)
    return Group(*parts, *(Text(line, style=style) for line, style in _outlook(stream, found, dry=dry)))


def _batches(found: Examination) -> Iterator[RenderableType]:
    told = [
        *((batch, "withdrawn: not in the table") for batch in found.judged.withdrawn),
        *((batch, "counts again: in the table") for batch in found.judged.reinstated),
    ]
    if told:
        records = Records(
            "batches",
            [Column("window (UTC)"), Column("kind"), Column("rows", right=True), Column("", sentences=True)],
        )
        for batch, what in sorted(told, key=lambda one: (one[0].window.lower, one[0].kind)):
            records.add(span(batch.window), batch.kind, f"{batch.fingerprint.rows:,}", what)
        yield records


def _windows(found: Examination) -> Iterator[RenderableType]:
    if found.rebuilt:
        records = Records(
            "windows that are recorded as they stand in the table",
            [Column("window (UTC)"), Column("rows recorded", right=True), Column("rows in the table", right=True)],
        )
        for one in found.rebuilt:
            known = "none" if one.recorded is None else f"{one.recorded.rows:,}"
            records.add(span(one.window), known, f"{one.found.rows:,}")
        yield records
    if found.lost:
        records = Records(
            "what can't be written again",
            [Column("window (UTC)"), Column("rows published", right=True), Column("rows in the source", right=True)],
        )
        for lost in found.lost:
            records.add(span(lost.window), f"{lost.published:,}", f"{lost.there:,}")
        yield records


def _outlook(stream: Stream, found: Examination, *, dry: bool) -> Iterator[tuple[str, str]]:
    if not found.needed:
        yield f"ledger and table of {stream.name} tell the same story: there is nothing to repair", ""
        if found.record.state is StreamState.HALTED:
            yield f"the stream is halted: {found.record.halt_reason}", "yellow"
            yield f"`icehaul resume {stream.name}` lets it go on", "yellow"
        return
    if found.again:
        yield f"{counted(found.again, 'row')} of the source {_become(dry)} written again with the next event", ""
    lost = sum(one.rows for one in found.lost)
    if lost:
        what = f"{counted(lost, 'row')} are neither in the table nor in the source"
        note = f"take note with `icehaul resume {stream.name} --accept-findings`"
        yield f"{what}: restore them in the source first, or {note}", "bold red"
    for window in found.backfills:
        yield f"{span(window)} lies below the start: its backfill goes on again, unless it was cancelled", "yellow"
    yield ("nothing was changed: give --yes to do it" if dry else f"repaired: {stream.name} is active"), ""


def _become(dry: bool) -> str:
    return "would be" if dry else "are"


def _upto(upper: datetime | None) -> str:
    return "no window" if upper is None else f"rows up to {instant(upper)}"


def repair_data(stream: Stream, found: Examination, *, dry: bool) -> dict[str, Any]:
    """Return the same as plain data."""
    evidence = found.evidence
    return {
        "stream": stream.name,
        "target": str(stream.target),
        "dry_run": dry,
        "needed": found.needed,
        "target_exists": found.target is not None,
        "ledger": {
            "watermark": found.record.watermark,
            "last_upper": found.record.last_upper,
            "last_batch_id": found.record.last_batch_id,
            "generation": found.record.generation,
        },
        "table": None
        if evidence is None
        else {
            "last_upper": evidence.upper,
            "last_batch_id": evidence.batch_id,
            "generation": evidence.generation,
            "snapshot_id": evidence.snapshot_id,
        },
        "watermark": found.watermark,
        "withdrawn": _batch_data(found.judged.withdrawn),
        "reinstated": _batch_data(found.judged.reinstated),
        "rebuilt": [
            {
                "lower": one.window.lower,
                "upper": one.window.upper,
                "recorded_rows": None if one.recorded is None else one.recorded.rows,
                "table_rows": one.found.rows,
                "table_digest": one.found.hex,
            }
            for one in found.rebuilt
        ],
        "rows_again": found.again,
        "lost": [
            {"lower": one.window.lower, "upper": one.window.upper, "published": one.published, "in_source": one.there}
            for one in found.lost
        ],
        "backfill_again": [{"lower": one.lower, "upper": one.upper} for one in found.backfills],
    }


def _batch_data(batches: Sequence[KnownBatch]) -> list[dict[str, Any]]:
    return [
        {
            "batch_id": one.id,
            "kind": one.kind,
            "lower": one.window.lower,
            "upper": one.window.upper,
            "rows": one.fingerprint.rows,
            "snapshot_id": one.snapshot_id,
        }
        for one in batches
    ]
