"""How `icehaul replay` looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.domain.phrasing import counted
from consumer.entrypoints.cli.output import span
from consumer.entrypoints.cli.records import Column, Records
from consumer.service.replay.replays import Recognition, Replay, Replayed

_STYLES: Mapping[Recognition, str] = MappingProxyType(
    {Recognition.RECOGNISED: "", Recognition.WRITTEN: "green", Recognition.SUPPLEMENTED: "green"}
)


def replay_text(replayed: Sequence[Replay]) -> RenderableType:
    """Return each stream's windows, and what became of them."""
    return Group(*(part for one in replayed for part in _stream(one)))


def _stream(one: Replay) -> Iterator[RenderableType]:
    stream = one.stream
    records = Records(
        f"{stream.name}: {stream.source} → {stream.target}",
        [
            Column("window (UTC)"),
            Column(""),
            Column("rows", right=True),
            Column("added", right=True),
            Column("in the source only", right=True),
            Column("in the table only", right=True),
        ],
        head=2,
    )
    for window in one.windows:
        records.add(
            span(window.window),
            Text(window.recognition, style=_STYLES[window.recognition]),
            f"{window.rows:,}",
            f"{window.added:,}",
            f"{window.missing:,}",
            f"{window.surplus:,}",
        )
    yield records
    yield Text(_summary(one))
    if one.repaired is not None:
        lost = sum(window.rows for window in one.repaired.lost)
        gone = counted(len(one.repaired.judged.withdrawn), "batch", "batches")
        rest = f"; {counted(lost, 'row')} can't be written again: the source does not hold them" if lost else ""
        yield Text(f"repaired before: {gone} had gone from the table{rest}", style="bold red" if lost else "yellow")
    if any(window.missing or window.surplus for window in one.windows):
        yield Text(f"both tiers differ: `icehaul status {stream.name}` says what is known of it", style="yellow")


def _summary(one: Replay) -> str:
    known = [window for window in one.windows if window.recognition is Recognition.RECOGNISED]
    added = sum(window.added for window in one.windows)
    return f"{counted(len(one.windows), 'window')}: {len(known):,} recognised, {counted(added, 'row')} added"


def replay_data(replayed: Sequence[Replay]) -> list[dict[str, Any]]:
    """Return the same as plain data."""
    return [
        {
            "stream": one.stream.name,
            "target": str(one.stream.target),
            "repaired": one.repaired is not None,
            "lost": 0 if one.repaired is None else sum(window.rows for window in one.repaired.lost),
            "windows": [_window(window) for window in one.windows],
        }
        for one in replayed
    ]


def _window(window: Replayed) -> dict[str, Any]:
    return {
        "lower": window.window.lower,
        "upper": window.window.upper,
        "verdict": window.recognition,
        "rows": window.rows,
        "added": window.added,
        "missing": window.missing,
        "surplus": window.surplus,
    }
