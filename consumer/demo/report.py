"""The demo's result: every stream verified row by row, as JSON and as a summary for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from consumer.bootstrap import Application
from consumer.demo.story import Facts
from consumer.domain.batch import BatchKind, BatchStatus
from consumer.service.verify import Verification


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamResult:
    """One stream at the end of the demo."""

    name: str
    source_rows: int
    cold_rows: int
    missing: int
    duplicated: int
    batches: int
    supplements: int
    snapshots: int
    watermark: datetime

    @property
    def sound(self) -> bool:
        """Whether no row was lost or doubled."""
        return self.source_rows == self.cold_rows and self.missing == 0 and self.duplicated == 0


def judge(application: Application, source_rows: dict[str, int]) -> Sequence[StreamResult]:
    """Verify every stream, all rows of the source included (``source_rows``: rows by table)."""
    return [_judge(application, name, rows) for name, rows in source_rows.items()]


def _judge(application: Application, name: str, source_rows: int) -> StreamResult:
    stream = application.streams[name]
    found: Verification = application.verifier.verify(stream)
    published = [one for one in application.ledger.batches(name, 1000) if one.status is BatchStatus.PUBLISHED]
    return StreamResult(
        name=name,
        source_rows=source_rows,
        cold_rows=found.cold.rows,
        missing=max(found.missing, source_rows - found.cold.rows),
        duplicated=max(found.surplus, found.cold.rows - source_rows),
        batches=len(published),
        supplements=sum(batch.kind is BatchKind.SUPPLEMENT for batch in published),
        snapshots=application.catalog.snapshots(stream.target),
        watermark=found.watermark,
    )


def write_report(path: Path, results: Sequence[StreamResult], facts: Facts) -> None:
    """Write the machine-readable report."""
    data: dict[str, Any] = {
        "streams": [asdict(result) | {"watermark": result.watermark.isoformat()} for result in results],
        "events": facts.events,
        "late_rows": facts.late_rows,
        "kills": facts.kills,
        "replays": facts.replays,
        "seconds": facts.seconds,
    }
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def print_summary(console: Console, results: Sequence[StreamResult], facts: Facts) -> None:
    """Print the summary that a person reads."""
    table = Table(
        title="both tiers, row by row (count and full-row digest computed by ClickHouse)",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("stream", no_wrap=True)
    for heading in ("hot rows", "cold rows", "batches", "supplements"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for result in results:
        table.add_row(
            result.name,
            f"{result.source_rows:,}",
            f"{result.cold_rows:,}",
            str(result.batches),
            str(result.supplements),
            _verdict(result),
        )
    console.print()
    console.print(table)
    rows = sum(result.cold_rows for result in results)
    late = f"{facts.late_rows} of them late"
    batches = sum(result.batches for result in results)
    snapshots = sum(result.snapshots for result in results)
    total = sum(facts.seconds.values())
    console.print(
        f"{rows:,} rows, {late}, in {batches} batches and {snapshots} snapshots from {facts.events} events;\n"
        f"{facts.kills} consumer killed, {facts.replays} full replay with"
        f" {facts.snapshots_after_replay - facts.snapshots_before_replay} new snapshots; {total:.0f} s."
    )


def _verdict(result: StreamResult) -> Text:
    if result.sound:
        return Text("equal", style="green")
    return Text(f"{result.missing:,} missing, {result.duplicated:,} doubled", style="bold red")
