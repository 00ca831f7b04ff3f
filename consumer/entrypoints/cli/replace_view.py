"""How `icehaul replace` looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.domain.phrasing import counted
from consumer.domain.stream import Stream
from consumer.entrypoints.cli.output import instant
from consumer.entrypoints.cli.records import Column, Records
from consumer.service.replacing.review import Examined, Verdict

_STYLES: Mapping[Verdict, str] = MappingProxyType(
    {Verdict.EQUAL: "", Verdict.REPLACEABLE: "yellow", Verdict.REFUSED: "bold red", Verdict.REPLACED: "green"}
)


def replace_text(stream: Stream, windows: Sequence[Examined], *, dry: bool) -> RenderableType:
    """Return each window with the rows of both tiers and what becomes of it."""
    records = Records(
        f"windows of {stream.target}",
        [
            Column("from (UTC)"),
            Column("verdict"),
            Column("before (UTC)"),
            Column("rows cold", right=True),
            Column("rows hot", right=True),
            Column("coming", right=True),
            Column("going", right=True),
            Column("", sentences=True),
        ],
        head=2,
    )
    for one in windows:
        records.add(
            instant(one.recorded.window.lower),
            Text(_verdict(one, dry=dry), style=_STYLES[one.verdict]),
            instant(one.recorded.window.upper),
            f"{one.recorded.cold.rows:,}",
            f"{one.hot.rows:,}",
            f"{one.missing:,}",
            f"{one.surplus:,}",
            one.reason if one.snapshot_id is None else f"snapshot {one.snapshot_id}",
        )
    return Group(records, Text(_summary(windows, dry=dry)))


def _verdict(one: Examined, *, dry: bool) -> str:
    return "would be replaced" if dry and one.verdict is Verdict.REPLACEABLE else one.verdict


def _summary(windows: Sequence[Examined], *, dry: bool) -> str:
    done = [one for one in windows if one.verdict in {Verdict.REPLACEABLE, Verdict.REPLACED}]
    coming, going = sum(one.missing for one in done), sum(one.surplus for one in done)
    what = f"{counted(len(done), 'window')}: {counted(coming, 'row')} coming, {counted(going, 'row')} going"
    if not dry:
        return f"replaced {what}"
    return f"would replace {what}; nothing was changed" + (": give --yes to do it" if done else "")


def replace_data(stream: Stream, windows: Sequence[Examined], *, dry: bool) -> dict[str, Any]:
    """Return the same as plain data."""
    return {
        "stream": stream.name,
        "source": str(stream.source),
        "target": str(stream.target),
        "dry_run": dry,
        "windows": [
            {
                "lower": one.recorded.window.lower,
                "upper": one.recorded.window.upper,
                "verdict": one.verdict,
                "reason": one.reason or None,
                "cold_rows": one.recorded.cold.rows,
                "cold_digest": one.recorded.cold.hex,
                "hot_rows": one.hot.rows,
                "hot_digest": one.hot.hex,
                "coming": one.missing,
                "going": one.surplus,
                "snapshot_id": one.snapshot_id,
            }
            for one in windows
        ],
    }
