"""How `icehaul cut` looks."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.domain.cut import Fit
from consumer.domain.phrasing import counted
from consumer.entrypoints.cli.output import instant
from consumer.entrypoints.cli.records import Column, Records
from consumer.service.cut import Cut, StreamCut

_STYLES = {Fit.EXACT: "green", Fit.STRADDLES: "yellow", Fit.NO_ROWS: "dim", Fit.NOT_RETAINED: "bold red"}


def cut_text(cut: Cut, tag: str | None) -> RenderableType:
    """Return the cut as a table, and in a sentence how to read it."""
    records = Records(
        f"a consistent cut through {counted(len(cut.parts), 'stream')} at {instant(cut.instant)} (UTC)",
        [
            Column("stream"),
            Column(""),
            Column("target"),
            Column("snapshot", right=True),
            Column("rows below (UTC)"),
            Column("rows end (UTC)"),
            Column("watermark (UTC)"),
            Column("what to do", sentences=True),
        ],
        head=2,
    )
    for one in cut.parts:
        records.add(
            one.stream.name,
            Text(one.part.fit, style=_STYLES[one.part.fit]),
            str(one.stream.target),
            "-" if one.part.snapshot_id is None else str(one.part.snapshot_id),
            instant(one.below),
            instant(one.part.upper),
            instant(one.watermark),
            _remedy(one) or "-",
        )
    return Group(records, Text(_sentence(cut, tag)))


def cut_data(cut: Cut, tag: str | None) -> dict[str, Any]:
    """Return the same as plain data; ``tag`` is set only where the snapshots have it now."""
    return {
        "instant": cut.instant,
        "complete": cut.complete,
        "tag": tag if cut.complete else None,
        "streams": [
            {
                "name": one.stream.name,
                "target": str(one.stream.target),
                "time_column": one.stream.timestamp_column,
                "fit": one.part.fit,
                "snapshot_id": one.part.snapshot_id,
                "below": one.below,
                "rows_end": one.part.upper,
                "watermark": one.watermark,
                "remedy": _remedy(one),
            }
            for one in cut.parts
        ],
    }


def _remedy(one: StreamCut) -> str | None:
    if one.part.fit is not Fit.NOT_RETAINED:
        return None
    return (
        f"name a later instant with --at; for the next time raise retain_snapshots ({one.stream.retain_snapshots} now),"
        " or tag earlier: icehaul cut --tag NAME"
    )


def _sentence(cut: Cut, tag: str | None) -> str:
    if not cut.complete:
        return "nothing was tagged" if tag is not None else "the cut is not complete"
    tagged = f"tagged {tag}; " if tag is not None else ""
    return f"{tagged}read each snapshot below its instant: the rows above it belong to no cut"
