"""How `icehaul verify` looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from consumer.domain.window import BEGINNING
from consumer.entrypoints.cli.output import instant
from consumer.service.verify import Verification


def verify_text(found: Sequence[Verification]) -> RenderableType:
    """Return a table with both tiers side by side; the last two numbers are of the sequence columns."""
    table = Table(title="rows below the watermark, by count and full-row digest", title_justify="left")
    for heading in ("stream", "below (UTC)"):
        table.add_column(heading, overflow="fold")
    for heading in ("hot rows", "cold rows"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("digest", overflow="fold")
    for heading in ("missing", "surplus", "repeated", "gaps"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("", overflow="fold")
    for one in found:
        same = one.hot.digest == one.cold.digest
        table.add_row(
            one.stream,
            "-" if one.watermark == BEGINNING else instant(one.watermark),
            f"{one.hot.rows:,}",
            f"{one.cold.rows:,}",
            one.cold.hex if same else f"{one.hot.hex} ≠ {one.cold.hex}",
            f"{one.missing:,}",
            f"{one.surplus:,}",
            f"{one.sequence.repeated:,}",
            "-" if one.sequence.gaps is None else f"{one.sequence.gaps:,}",
            Text("equal", style="green") if one.equal else Text("DIFFERENT", style="bold red"),
        )
    return table


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
