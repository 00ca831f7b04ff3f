"""How `icehaul drop-hot` looks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.domain.phrasing import counted
from consumer.entrypoints.cli.output import instant, size
from consumer.entrypoints.cli.records import Column, Records
from consumer.service.dropping.review import Examined, Place, Report

_PLACES: Mapping[Place, str] = MappingProxyType(
    {
        Place.SOURCE: "would be dropped",
        Place.QUARANTINE: "left in quarantine; would be dropped",
        Place.DROPPED: "dropped",
        Place.RETURNED: "moved back",
    }
)


def drop_text(report: Report) -> RenderableType:
    """Return each partition with both digests, the verdict, and where it is now."""
    source = report.stream.source
    records = Records(
        f"partitions of {source} below the watermark {instant(report.watermark)} UTC",
        [
            Column("partition"),
            Column("verdict"),
            Column("from (UTC)"),
            Column("before (UTC)"),
            Column("rows", right=True),
            Column("size", right=True),
            Column("digest hot"),
            Column("digest cold"),
            Column("missing", right=True),
            Column(""),
        ],
        head=2,
    )
    for one in report.partitions:
        good = one.comparison.contained
        records.add(
            one.partition.id,
            Text(_verdict(one), style="green" if good else "bold red"),
            instant(one.partition.window.lower),
            instant(one.partition.window.upper),
            f"{one.comparison.hot.rows:,}",
            size(one.partition.bytes),
            one.comparison.hot.hex,
            one.comparison.cold.hex,
            f"{one.comparison.missing:,}",
            _PLACES[one.place] if good or one.place is Place.RETURNED else "would be kept",
        )
    parts: list[RenderableType] = [records]
    parts += [
        Text(f"an earlier run had ended early: partition {drop.partition.id} is {drop.state}")
        for drop in report.finished
    ]
    parts += [
        Text(f"{table} is empty, left by a run that ended early: drop it by hand once no query of that run is left")
        for table in report.empty_quarantines
    ]
    if report.unproven:
        parts.append(Text(f"{source} is replicated: dropping from such a table is unproven", style="yellow"))
    parts.append(Text(_summary(report)))
    return Group(*parts)


def _verdict(one: Examined) -> str:
    if not one.comparison.contained:
        return "MISSING ROWS"
    return "equal" if one.comparison.hot == one.comparison.cold else "contained"


def _summary(report: Report) -> str:
    good = [one for one in report.partitions if one.comparison.contained and one.place is not Place.RETURNED]
    what = f"{counted(len(good), 'partition')}, {counted(sum(one.comparison.hot.rows for one in good), 'row')}"
    if report.dry:
        return f"would drop {what}; nothing was changed: give --yes to do it"
    return f"dropped {what}"


def drop_data(report: Report) -> dict[str, Any]:
    """Return the same as plain data."""
    return {
        "stream": report.stream.name,
        "source": str(report.stream.source),
        "target": str(report.stream.target),
        "watermark": report.watermark,
        "dry_run": report.dry,
        "good": report.good,
        "unproven": report.unproven,
        "partitions": [_partition_data(one) for one in report.partitions],
        "finished": [{"partition_id": drop.partition.id, "state": drop.state} for drop in report.finished],
        "empty_quarantines": [str(table) for table in report.empty_quarantines],
    }


def _partition_data(one: Examined) -> dict[str, Any]:
    return {
        "partition_id": one.partition.id,
        "place": one.place,
        "from": one.partition.window.lower,
        "before": one.partition.window.upper,
        "rows": one.comparison.hot.rows,
        "bytes": one.partition.bytes,
        "hot_digest": one.comparison.hot.hex,
        "cold_digest": one.comparison.cold.hex,
        "cold_rows": one.comparison.cold.rows,
        "missing": one.comparison.missing,
        "contained": one.comparison.contained,
        "snapshot_id": one.comparison.snapshot_id,
    }
