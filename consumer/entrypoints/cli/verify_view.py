"""How `icehaul verify` looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from consumer.domain.window import BEGINNING
from consumer.entrypoints.cli.output import instant
from consumer.entrypoints.cli.records import Column, Records
from consumer.service.verify import Verification


def verify_text(found: Sequence[Verification]) -> RenderableType:
    """Return both tiers side by side; the last two numbers are of the sequence columns."""
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
        records.add(
            one.stream,
            Text("equal", style="green") if one.equal else Text("DIFFERENT", style="bold red"),
            "-" if one.watermark == BEGINNING else instant(one.watermark),
            f"{one.hot.rows:,}",
            f"{one.dropped.rows:,}",
            f"{one.cold.rows:,}",
            one.cold.hex if same else f"{hot.hex} ≠ {one.cold.hex}",
            f"{one.missing:,}",
            f"{one.surplus:,}",
            f"{one.sequence.repeated:,}",
            "-" if one.sequence.gaps is None else f"{one.sequence.gaps:,}",
        )
    return records


def verify_data(found: Sequence[Verification]) -> dict[str, Any]:
    """Return the same as plain data."""
    return {
        "equal": all(one.equal for one in found),
        "streams": [
            {
                "name": one.stream,
                "watermark": None if one.watermark == BEGINNING else one.watermark,
                "hot_rows": one.hot.rows,
                "hot_digest": one.hot.hex,
                "dropped_rows": one.dropped.rows,
                "dropped_digest": one.dropped.hex,
                "cold_rows": one.cold.rows,
                "cold_digest": one.cold.hex,
                "missing": one.missing,
                "surplus": one.surplus,
                "snapshot_id": one.snapshot_id,
                "repeated_sequences": one.sequence.repeated,
                "sequence_gaps": one.sequence.gaps,
                "equal": one.equal,
            }
            for one in found
        ],
    }
