"""The demo's result: every stream verified row by row, as JSON and as a summary for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from consumer.bootstrap import Application
from consumer.demo.story import Facts
from consumer.domain.batch import BatchStatus
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
    batches = application.ledger.batches(name, 1000)
    return StreamResult(
        name=name,
        source_rows=source_rows,
        cold_rows=found.cold.rows,
        missing=max(found.missing, source_rows - found.cold.rows),
        duplicated=max(found.surplus, found.cold.rows - source_rows),
        batches=sum(batch.status is BatchStatus.PUBLISHED for batch in batches),
        snapshots=application.catalog.snapshots(stream.target),
        watermark=found.watermark,
    )


def write_report(path: Path, results: Sequence[StreamResult], facts: Facts) -> None:
    """Write the machine-readable report."""
    data: dict[str, Any] = {
        "streams": [asdict(result) | {"watermark": result.watermark.isoformat()} for result in results],
        "events": facts.events,
        "kills": facts.kills,
        "replays": facts.replays,
        "seconds": facts.seconds,
    }
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def print_summary(console: Console, results: Sequence[StreamResult], facts: Facts) -> None:
    """Print the summary that a person reads."""
    table = Table(
        title="both tiers, row by row (count and full-row digest computed by ClickHouse)", title_justify="left"
    )
    table.add_column("stream")
    for heading in ("hot rows", "cold rows", "missing", "doubled", "batches", "snapshots"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for result in results:
        table.add_row(
            result.name,
            f"{result.source_rows:,}",
            f"{result.cold_rows:,}",
            f"{result.missing:,}",
            f"{result.duplicated:,}",
            str(result.batches),
            str(result.snapshots),
            Text("equal", style="green") if result.sound else Text("DIFFERENT", style="bold red"),
        )
    console.print()
    console.print(table)
    rows = sum(result.cold_rows for result in results)
    batches = sum(result.batches for result in results)
    total = sum(facts.seconds.values())
    console.print(
        f"{rows:,} rows in {batches} batches from {facts.events} events; {facts.kills} consumer killed,"
        f" {facts.replays} full replay with {facts.snapshots_after_replay - facts.snapshots_before_replay}"
        f" new snapshots; {total:.0f} s."
    )
