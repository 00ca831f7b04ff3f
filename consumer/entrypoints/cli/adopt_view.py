"""How `icehaul adopt` looks."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.domain.phrasing import counted
from consumer.entrypoints.cli.output import instant, span
from consumer.entrypoints.cli.records import Column, Records
from consumer.service.adoption.adoptions import Adopted


def adopted_text(found: Adopted) -> RenderableType:
    """Return the watermark, how far back the proof reaches, and what differs."""
    stream, proof = found.stream, found.proof
    parts: list[RenderableType] = [
        Text(f"{stream.name}: {stream.source} → {stream.target}", style="bold"),
        Text(f"watermark  {instant(proof.watermark)}: everything before it is covered"),
        Text(f"rows       {proof.rows.rows:,} in {counted(found.windows, 'window')}"),
        Text(f"digest     {proof.rows.hex}"),
    ]
    if proof.proven_from is not None:
        parts.append(
            Text(
                f"proof      reaches back to {instant(proof.proven_from)}: {counted(proof.unproven, 'row')} before"
                " it were taken from the source by its TTL, and can't be compared",
                style="yellow",
            )
        )
    if proof.differing:
        records = Records(
            "where both tiers differ",
            [
                Column("window (UTC)"),
                Column("in the source only", right=True),
                Column("in the target only", right=True),
            ],
        )
        for one in proof.differing:
            records.add(span(one.window), f"{one.missing:,}", f"{one.surplus:,}")
        parts.append(records)
    parts.append(Text(_verdict(found)))
    return Group(*parts)


def _verdict(found: Adopted) -> str:
    proof = found.proof
    if not found.dry:
        left = f"; {counted(proof.missing, 'row')} are left to its next event" if proof.missing else ""
        return f"adopted: the stream goes on from {instant(proof.watermark)}{left}"
    if proof.surplus:
        return "can't be adopted: the table holds rows that the source does not hold"
    if proof.missing:
        return "can be adopted with --leave-missing only: the table lacks rows; nothing was changed"
    return "can be adopted; nothing was changed: give --yes to do it"


def adopted_data(found: Adopted) -> dict[str, Any]:
    """Return the same as plain data."""
    proof = found.proof
    return {
        "stream": found.stream.name,
        "source": str(found.stream.source),
        "target": str(found.stream.target),
        "dry_run": found.dry,
        "watermark": proof.watermark,
        "proven_from": proof.proven_from,
        "unproven_rows": proof.unproven,
        "rows": proof.rows.rows,
        "digest": proof.rows.hex,
        "windows": found.windows,
        "missing": proof.missing,
        "surplus": proof.surplus,
        "differing": [
            {"lower": one.window.lower, "upper": one.window.upper, "missing": one.missing, "surplus": one.surplus}
            for one in proof.differing
        ],
        "snapshot_id": proof.snapshot_id,
    }
