"""How `icehaul rewind` looks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.domain.phrasing import counted, instant_text
from consumer.domain.stream import Stream
from consumer.entrypoints.cli.output import instant
from consumer.entrypoints.cli.records import Column, Records
from consumer.service.rewinding.examined import Examined, Verdict


def rewind_text(stream: Stream, found: Examined, *, dry: bool) -> RenderableType:
    """Return the windows whose rows go, what speaks against it, and what becomes of the stream."""
    if found.verdict is Verdict.THERE:
        return Text(f"{stream.name} has been read up to {instant_text(found.wish.to)}: there is nothing to rewind")
    records = Records(
        f"rows of {stream.target} from {instant_text(found.wish.to)} on",
        [
            Column("from (UTC)"),
            Column("before (UTC)"),
            Column("rows cold", right=True),
            Column("rows hot", right=True),
            Column("hot only", right=True),
            Column("cold only", right=True),
        ],
        head=2,
    )
    for one in found.removals:
        records.add(
            instant(one.window.lower),
            instant(one.window.upper),
            f"{one.cold.rows:,}",
            f"{one.hot.rows:,}",
            f"{one.missing:,}",
            f"{one.surplus:,}",
        )
    against = [Text(one, style="bold red") for one in _against(found)]
    return Group(records, *against, *map(Text, _summary(found, dry=dry)))


def _against(found: Examined) -> Iterator[str]:
    """Yield what speaks against a rewind: of single windows, then of all of it."""
    for one in found.removals:
        if one.doubt is not None:
            yield f"from {instant_text(one.window.lower)} on: {one.doubt.reason}"
    yield from found.objections


def _summary(found: Examined, *, dry: bool) -> Iterator[str]:
    before, to = found.record.watermark, found.wish.to
    rows = counted(sum(one.cold.rows for one in found.removals), "row")
    windows = counted(len(found.removals), "window")
    back = f"watermark from {instant_text(before)} back to {instant_text(to)}"
    generation = f"generation {found.record.generation + 1}"
    if found.kept is not None:
        yield f"the window that straddles the instant keeps {counted(found.kept[1].rows, 'row')}"
    if found.files.units:
        yield f"{counted(found.files.rewritten, 'row')} of files that straddle it are written anew"
    match found.verdict:
        case Verdict.REFUSED:
            yield f"refused: {rows} of {windows} would go; nothing was changed"
        case Verdict.REWOUND:
            snapshot = "no snapshot was needed" if found.snapshot_id is None else f"snapshot {found.snapshot_id}"
            yield f"rewound: {rows} of {windows} are gone, {back}, {generation}, {snapshot}"
            yield "the next event of the stream writes them again"
        case _:
            yield f"would take out {rows} of {windows}, {back}, {generation}"
            yield "nothing was changed" + (": give --yes to do it" if dry else "")


def rewind_data(stream: Stream, found: Examined, *, dry: bool) -> dict[str, Any]:
    """Return the same as plain data."""
    return {
        "stream": stream.name,
        "source": str(stream.source),
        "target": str(stream.target),
        "dry_run": dry,
        "verdict": found.verdict,
        "to": found.wish.to,
        "watermark_before": found.record.watermark,
        "generation_before": found.record.generation,
        "reason": found.wish.reason,
        "rows_going": sum(one.cold.rows for one in found.removals),
        "rows_written_anew": found.files.rewritten,
        "files_going": len(found.files.paths),
        "kept": None
        if found.kept is None
        else {"lower": found.kept[0].lower, "upper": found.kept[0].upper, "rows": found.kept[1].rows},
        "windows": [
            {
                "lower": one.window.lower,
                "upper": one.window.upper,
                "cold_rows": one.cold.rows,
                "cold_digest": one.cold.hex,
                "hot_rows": one.hot.rows,
                "hot_digest": one.hot.hex,
                "hot_only": one.missing,
                "cold_only": one.surplus,
                "doubt": None if one.doubt is None else one.doubt.reason,
            }
            for one in found.removals
        ],
        "objections": list(found.objections),
        "dependants_ahead": [
            {"stream": one.stream, "watermark": one.watermark, "rewind_to": one.to} for one in found.ahead
        ],
        "snapshot_id": found.snapshot_id,
    }
