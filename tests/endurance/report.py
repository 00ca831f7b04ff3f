"""The verdict on a campaign: each gauge early and late in it, and whether it has grown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.endurance.gauges import GAUGES, Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A gauge soon after the beginning, when everything is warm, and at the end."""

    gauge: str
    early: float
    late: float

    @property
    def flat(self) -> bool:
        """Whether it has not grown by more than what two moments differ anyway."""
        return self.late - self.early <= GAUGES[self.gauge].slack


def verdicts(readings: Sequence[Reading]) -> list[Verdict]:
    """Compare the first quarter of the readings after the warm-up, which is the first quarter, with the last one."""
    span = max(1, len(readings) // 4)
    early, late = readings[span : 2 * span], readings[-span:]
    return [
        Verdict(
            gauge=name,
            early=median(reading.figures[name] for reading in early),
            late=median(reading.figures[name] for reading in late),
        )
        for name in GAUGES
    ]


def show(console: Console, found: Sequence[Verdict], failed: int) -> None:
    """Print the figures for people."""
    table = Table("gauge", "early", "late", "", title=f"{failed:,} failed batches", title_justify="left", box=None)
    for verdict in found:
        row = (GAUGES[verdict.gauge].meaning, f"{verdict.early:g}", f"{verdict.late:g}")
        table.add_row(*row, "flat" if verdict.flat else "[red]grows[/red]")
    console.print(table)


def write(path: Path, machine: str, readings: Sequence[Reading], found: Sequence[Verdict]) -> None:
    """Write all figures for programs."""
    document = {
        "machine": machine,
        "failed_batches": readings[-1].failed,
        "flat": all(verdict.flat for verdict in found),
        "gauges": {
            verdict.gauge: {
                "meaning": GAUGES[verdict.gauge].meaning,
                "early": verdict.early,
                "late": verdict.late,
                "slack": GAUGES[verdict.gauge].slack,
                "flat": verdict.flat,
            }
            for verdict in found
        },
        "readings": [{"failed_batches": reading.failed, **reading.figures} for reading in readings],
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
