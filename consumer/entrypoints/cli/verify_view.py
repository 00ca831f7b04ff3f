"""How `icehaul verify` looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.domain.differing import DifferingRow
from consumer.domain.window import BEGINNING, EVER
from consumer.entrypoints.cli.output import instant, span
from consumer.entrypoints.cli.records import Column, Records
from consumer.service.verify import Verification
from consumer.service.verifying.comparing import SliceDifference

_SLICES_SHOWN = 20


def verify_text(found: Sequence[Verification]) -> RenderableType:
    """Return both tiers side by side; then the slices that differ, and the rows that were asked for."""
    parts: list[RenderableType] = [_tiers(found)]
    if any(one.differences for one in found):
        parts += ["", _slices(found)]
    if any(one.rows for one in found):
        parts += ["", _rows(found)]
    return Group(*parts)


def _tiers(found: Sequence[Verification]) -> Records:
    records = Records(
        "rows below the watermark, by count and full-row digest",
        [
            Column("stream"),
            Column(""),
            Column("below (UTC)"),
            Column("hot rows", right=True),
            Column("dropped", right=True),
            Column("cold rows", right=True),
            Column("digest"),
            Column("missing", right=True),
            Column("surplus", right=True),
            Column("repeated", right=True),
            Column("gaps", right=True),
        ],
        head=2,
    )
    for one in found:
        hot = one.hot + one.dropped
        same = hot.digest == one.cold.digest
        sequence = one.sequence
        records.add(
            one.stream,
            Text("equal", style="green") if one.equal else Text("DIFFERENT", style="bold red"),
            _below(one),
            f"{one.hot.rows:,}",
            f"{one.dropped.rows:,}",
            f"{one.cold.rows:,}",
            one.cold.hex if same else f"{hot.hex} ≠ {one.cold.hex}",
            f"{one.missing:,}",
            f"{one.surplus:,}",
            "-" if sequence is None else f"{sequence.repeated:,}",
            "-" if sequence is None or sequence.gaps is None else f"{sequence.gaps:,}",
        )
    return records


def _below(one: Verification) -> str:
    """Return up to where rows were compared, and from where on if that is not the beginning."""
    if one.within != EVER:
        return span(one.within)
    return "-" if one.watermark == BEGINNING else instant(one.watermark)


def _slices(found: Sequence[Verification]) -> Records:
    records = Records(
        "where they differ",
        [
            Column("stream"),
            Column("window (UTC)"),
            Column("hot rows", right=True),
            Column("dropped", right=True),
            Column("cold rows", right=True),
            Column("digest"),
            Column("missing", right=True),
            Column("surplus", right=True),
        ],
        head=2,
    )
    for one in found:
        for each in one.differences[:_SLICES_SHOWN]:
            hot = each.hot + each.dropped
            records.add(
                one.stream,
                span(each.window),
                f"{each.hot.rows:,}",
                f"{each.dropped.rows:,}",
                f"{each.cold.rows:,}",
                f"{hot.hex} ≠ {each.cold.hex}",
                f"{each.missing:,}",
                f"{each.surplus:,}",
            )
        left_out = len(one.differences) - _SLICES_SHOWN
        if left_out > 0:
            records.add(one.stream, f"and {left_out:,} more; --output json has all", *[""] * 6)
    return records


def _rows(found: Sequence[Verification]) -> Records:
    records = Records(
        "rows that differ, and how often each tier holds them",
        [Column("stream"), Column("hot", right=True), Column("cold", right=True), Column("row")],
        head=1,
    )
    for one in found:
        for row in one.rows:
            values = ", ".join(f"{name}={_value(value)}" for name, value in row.values.items())
            records.add(one.stream, f"{row.hot:,}", f"{row.cold:,}", values)
    return records


def _value(text: str | None) -> str:
    """Return a value so that NULL, the word and no text at all can be told apart."""
    if text is None:
        return "NULL"
    return repr(text) if text in {"", "NULL"} else text


def verify_data(found: Sequence[Verification]) -> dict[str, Any]:
    """Return the same as plain data."""
    return {"equal": all(one.equal for one in found), "streams": [_stream_data(one) for one in found]}


def _stream_data(one: Verification) -> dict[str, Any]:
    ranged = one.within != EVER
    return {
        "name": one.stream,
        "watermark": None if one.watermark == BEGINNING else one.watermark,
        "from": one.within.lower if ranged else None,
        "to": one.within.upper if ranged else None,
        "hot_rows": one.hot.rows,
        "hot_digest": one.hot.hex,
        "dropped_rows": one.dropped.rows,
        "dropped_digest": one.dropped.hex,
        "cold_rows": one.cold.rows,
        "cold_digest": one.cold.hex,
        "missing": one.missing,
        "surplus": one.surplus,
        "snapshot_id": one.snapshot_id,
        "repeated_sequences": None if one.sequence is None else one.sequence.repeated,
        "sequence_gaps": None if one.sequence is None else one.sequence.gaps,
        "equal": one.equal,
        "slices": one.slices,
        "differences": [_slice_data(each) for each in one.differences],
        "rows": [_row_data(row) for row in one.rows],
    }


def _slice_data(one: SliceDifference) -> dict[str, Any]:
    return {
        "from": one.window.lower,
        "to": one.window.upper,
        "hot_rows": one.hot.rows,
        "hot_digest": one.hot.hex,
        "dropped_rows": one.dropped.rows,
        "dropped_digest": one.dropped.hex,
        "cold_rows": one.cold.rows,
        "cold_digest": one.cold.hex,
        "missing": one.missing,
        "surplus": one.surplus,
    }


def _row_data(row: DifferingRow) -> dict[str, Any]:
    return {
        "time": row.instant,
        "hot": row.hot,
        "cold": row.cold,
        "hash": f"{row.hash:016x}",
        "values": dict(row.values),
    }
