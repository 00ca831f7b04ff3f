"""The campaign's figures: for people on the screen beside their targets, for programs as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from tests.platform.campaign import Cycle, Late, Verdict
from tests.platform.steps import LAYERS, STEPS, Quiet, percentile
from tests.platform.trading import CYCLE

CYCLE_SECONDS, LAG_MINUTES, RECONCILE_MS, LATE_SECONDS = 60.0, 20.0, 100.0, 15.0
"""The targets."""
_SECONDS_PER_MINUTE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured figure beside its target, which it must not exceed."""

    name: str
    measured: float
    target: float
    unit: str

    @property
    def ratio(self) -> float:
        """The measured figure as a share of its target."""
        return self.measured / self.target


@dataclass(kw_only=True)
class Report:
    """What a campaign found."""

    machine: str
    rows: int
    settle_lag: timedelta
    cycles: list[Cycle] = field(default_factory=list)
    layers: list[Mapping[str, Mapping[str, float]]] = field(default_factory=list)
    quiet: Quiet = field(default_factory=lambda: Quiet(reconcile=(), event=()))
    late: Late | None = None
    verdicts: Sequence[Verdict] = ()

    @property
    def sound(self) -> bool:
        """Whether no row of any table is lost or doubled."""
        return bool(self.verdicts) and all(verdict.equal for verdict in self.verdicts)

    def lags(self) -> Sequence[float]:
        """Return, in minutes, the lag of each stream right before each of its commits, had ticks come by the clock.

        A tick at T asks for rows up to T less the settle lag. Right before the commit that it leads to, the watermark
        still stands where the tick before left it: one interval and a settle lag before T, and the commit comes so many
        seconds after T as were measured. (Bars are final a span after their start, which is no lag.)
        """
        interval, settle = CYCLE.total_seconds(), self.settle_lag.total_seconds()
        return [
            (settle + interval + seconds) / _SECONDS_PER_MINUTE
            for cycle in self.cycles
            for seconds in cycle.reached.values()
        ]

    def figures(self) -> Sequence[Figure]:
        """Return the figures that have a target: those of the slowest cycle, and of all quiet events."""
        found = [
            Figure(
                name=f"the slowest cycle of {self.rows:,} rows over ten tables",
                measured=max(cycle.seconds for cycle in self.cycles),
                target=CYCLE_SECONDS,
                unit="s",
            ),
            Figure(
                name="lag right before a commit, p99, ticks every 15 minutes",
                measured=percentile(self.lags(), 99),
                target=LAG_MINUTES,
                unit="min",
            ),
        ]
        if self.quiet.reconcile:
            found.append(
                Figure(
                    name="reconcile of a quiet stream, p99",
                    measured=percentile(self.quiet.reconcile, 99),
                    target=RECONCILE_MS,
                    unit="ms",
                )
            )
        if self.late is not None:
            found.append(
                Figure(
                    name=f"a late row in a closed day ({self.late.table_rows:,} rows)",
                    measured=self.late.seconds,
                    target=LATE_SECONDS,
                    unit="s",
                )
            )
        return found

    def show(self, console: Console) -> None:
        """Print it for people."""
        for table in (self._cycles(), self._layers(), self._tables(), self._figures()):
            console.print(table)
            console.print()
        if self.late is not None:
            console.print(f"the late row took {sum(self.late.cpu.values()):.1f} CPU s; load {self.late.load:.1f}")
        quiet = self.quiet
        if quiet.reconcile:
            console.print(
                f"{len(quiet.event)} quiet events: reconcile p50 {percentile(quiet.reconcile, 50):.1f} ms, p99"
                f" {percentile(quiet.reconcile, 99):.1f} ms; whole event p50 {percentile(quiet.event, 50):.1f} ms"
            )
        console.print("no row lost, none doubled" if self.sound else "[bold red]rows were lost or doubled[/]")

    def write(self, path: Path) -> None:
        """Write it for programs."""
        path.parent.mkdir(parents=True, exist_ok=True)
        document: dict[str, Any] = {
            "machine": self.machine,
            "sound": self.sound,
            "figures": [asdict(figure) | {"ratio": figure.ratio} for figure in self.figures()],
            "cycles": [asdict(cycle) for cycle in self.cycles],
            "late": None if self.late is None else asdict(self.late),
            "step_seconds": self.layers,
            "quiet_ms": {
                "events": len(self.quiet.event),
                "reconcile_p50": percentile(self.quiet.reconcile, 50),
                "reconcile_p99": percentile(self.quiet.reconcile, 99),
                "event_p50": percentile(self.quiet.event, 50),
            },
            "tables": [asdict(verdict) for verdict in self.verdicts],
        }
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    def _cycles(self) -> Table:
        table = Table("cycle", *_right("rows", "seconds", "rows/s", *LAYERS, "CPU s", "load"), title="cycles", box=None)
        for number, cycle in enumerate(self.cycles, 1):
            last = [max(_of(layer, cycle.reached), default=0.0) for layer in LAYERS]
            table.add_row(
                str(number),
                f"{cycle.rows:,}",
                f"{cycle.seconds:.1f}",
                f"{cycle.rows / cycle.seconds:,.0f}",
                *(f"{seconds:.1f}" for seconds in last),
                f"{sum(cycle.cpu.values()):.1f}",
                f"{cycle.load:.1f}",
            )
        return table

    def _layers(self) -> Table:
        table = Table("layer", *_right(*STEPS), title="seconds of a cycle's steps, streams added up (mean)", box=None)
        for layer in LAYERS:
            means = [sum(one[layer][step] for one in self.layers) / max(1, len(self.layers)) for step in STEPS]
            table.add_row(layer, *(f"{mean:.2f}" for mean in means))
        return table

    def _tables(self) -> Table:
        table = Table("table", *_right("hot rows", "cold rows", "missing", "doubled"), title="both tiers", box=None)
        for one in self.verdicts:
            numbers = (one.hot_rows, one.cold_rows, one.missing, one.surplus)
            table.add_row(one.table, *(f"{number:,}" for number in numbers))
        return table

    def _figures(self) -> Table:
        table = Table("figure", *_right("measured", "target", "of target"), title=self.machine, box=None)
        for one in self.figures():
            table.add_row(
                one.name, f"{one.measured:.1f} {one.unit}", f"{one.target:.0f} {one.unit}", f"{one.ratio:.2f}"
            )
        return table


def _of(layer: str, reached: Mapping[str, float]) -> Sequence[float]:
    return [seconds for name, seconds in reached.items() if name.startswith(layer)]


def _right(*names: str) -> Sequence[Any]:
    return [Column(name, justify="right") for name in names]
