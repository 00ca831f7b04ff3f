"""The report of a soak: figures against what is promised, and the series that they come from."""

from __future__ import annotations

import json
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from consumer.demo.market import TABLES
from tests.platform.steps import percentile
from tests.soak.campaign import Batch
from tests.soak.gauges import Reading
from tests.soak.lags import Lag
from tests.soak.schedule import Schedule, Trouble
from tests.soak.witness import Verdict
from tests.support.figure import Figure

LAG_P99_S = 20 * 60
BATCH_MAX_S = 10 * 60
GROWTH = 0.05
SMALL_FILES = 0.05


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that one soak found.

    Attributes:
        machine: what it ran on.
        seed: of the schedule.
        rows: rows of a quarter hour, over the ten tables.
        engine: where the tasks ran.
        seconds: real seconds that the ticks took.
        lags: one for each stream and quarter hour with rows.
        unseen: quarter hours whose rows never were all in the cold tier.
        incomplete: ticks that could bring nothing, for a server was away or ClickHouse's clock wrong: in less than a
            week they are more than one in a hundred.
        began: when each tick began, in seconds since 1970 of real time.
        readings: what the gauges said after the ticks; the last one is from after the maintenance.
        faults: what icehaul's own audit found, by stream.
    """

    machine: str
    seed: int
    rows: int
    engine: str
    seconds: float
    schedule: Schedule
    lags: Sequence[Lag]
    unseen: int
    incomplete: Sequence[int]
    began: Sequence[float]
    batches: Sequence[Batch]
    readings: Sequence[Reading]
    verdicts: Sequence[Verdict]
    faults: Mapping[str, Sequence[str]]

    @property
    def lost(self) -> int:
        """Rows that were inserted and are not in the cold tier."""
        return sum(verdict.lost for verdict in self.verdicts)

    @property
    def doubled(self) -> int:
        """Rows that are in the cold tier more often than they were inserted."""
        return sum(verdict.doubled for verdict in self.verdicts)

    @property
    def memory_growth(self) -> float:
        """By what part the staying consumer's memory has grown; see :func:`growth`."""
        return growth([reading.memory_mib for reading in self.readings[:-1]])

    @property
    def small_files_ratio(self) -> float:
        """The share of live files that could be fewer, after the maintenance."""
        last = self.readings[-1]
        return (last.small_files or 0) / last.files if last.files else 0.0

    def figures(self) -> Sequence[Figure]:
        """Return what is promised, exactness first."""
        return (
            Figure(name="lost", measured=self.lost, most=0),
            Figure(name="doubled", measured=self.doubled, most=0),
            Figure(name="quarter hours never seen", measured=self.unseen, most=0),
            Figure(name="streams with faults", measured=sum(map(bool, self.faults.values())), most=0),
            Figure(name="batch_max_seconds", measured=max(batch.seconds for batch in self.batches), most=BATCH_MAX_S),
            Figure(name="lag_p99_seconds", measured=self._lag(99), most=LAG_P99_S),
            Figure(name="memory_growth", measured=self.memory_growth, most=GROWTH),
            Figure(name="small_files_ratio", measured=self.small_files_ratio, most=SMALL_FILES),
        )

    @property
    def exact(self) -> bool:
        """Whether every promise holds that does not depend on how long the soak was."""
        return all(figure.holds for figure in self.figures()[:5])

    @property
    def sound(self) -> bool:
        """Whether every promise holds."""
        return all(figure.holds for figure in self.figures())

    def document(self) -> dict[str, Any]:
        """Return it as it is written to ``report.json``."""
        batches = [batch.seconds for batch in self.batches]
        return {
            "machine": self.machine,
            "sound": self.sound,
            "ticks": self.schedule.ticks,
            "seed": self.seed,
            "engine": self.engine,
            "rows_per_tick": self.rows,
            "rows": sum(verdict.inserted for verdict in self.verdicts),
            "real_seconds": round(self.seconds, 1),
            "lost": self.lost,
            "doubled": self.doubled,
            "lag_p50_seconds": round(self._lag(50), 1),
            "lag_p99_seconds": round(self._lag(99), 1),
            "lag_max_seconds": round(max(lag.seconds for lag in self.lags), 1),
            "lag_p99_seconds_of_other_ticks": round(self._lag(99, without=self.incomplete), 1),
            "batches": len(batches),
            "batch_p50_seconds": round(percentile(batches, 50), 3),
            "batch_p99_seconds": round(percentile(batches, 99), 3),
            "batch_max_seconds": round(max(batches), 3),
            "memory_growth": round(self.memory_growth, 4),
            "small_files_ratio": round(self.small_files_ratio, 4),
            "figures": [asdict(figure) | {"holds": figure.holds} for figure in self.figures()],
            "troubles": {trouble.value: self.schedule.count(trouble) for trouble in Trouble},
            "schedule": self.schedule.lines(),
            "incomplete_ticks": list(self.incomplete),
            "faults": {name: list(found) for name, found in self.faults.items()},
            "tables": [asdict(verdict) for verdict in self.verdicts],
            "series": self.series(),
        }

    def series(self) -> Mapping[str, Sequence[tuple[float, float]]]:
        """Return what is drawn: pairs of a tick and a value, by name."""
        found: dict[str, list[tuple[float, float]]] = {
            f"lag_{name}_seconds": [
                (tick, round(value, 1)) for tick, value in self._by_tick(self._lag_lists(), percent)
            ]
            for name, percent in (("p50", 50), ("p99", 99))
        }
        found["batch_p50_seconds"] = self._by_tick(self._batch_lists(), 50)
        found["batch_max_seconds"] = self._by_tick(self._batch_lists(), 100)
        for name in ("memory_mib", "handles", "threads", "files", "snapshots", "ledger_mib"):
            found[name] = [(reading.tick, float(getattr(reading, name))) for reading in self.readings]
        return found

    def write(self, path: Path) -> None:
        """Write it for programs."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.document(), indent=2) + "\n", encoding="utf-8")

    def show(self, console: Console) -> None:
        """Print it for people."""
        table = Table("figure", *_right("measured", "at most"), "", title=self.machine, box=None)
        for one in self.figures():
            verdict = "holds" if one.holds else "[bold red]broken[/]"
            table.add_row(one.name, f"{one.measured:,.3f}", f"{one.most:,.2f}", verdict)
        console.print(table)
        judged = Table("table", *_right("inserted", "found", "lost", "doubled"), box=None)
        for row in self.verdicts:
            judged.add_row(row.table, *(f"{one:,}" for one in (row.inserted, row.found, row.lost, row.doubled)))
        console.print(judged)
        for name in TABLES:
            for fault in self.faults.get(name, ()):
                console.print(f"[red]{name}: {fault}[/]")

    def _lag(self, percent: int, *, without: Collection[int] = ()) -> float:
        return percentile([lag.seconds for lag in self.lags if lag.tick not in without], percent)

    def _lag_lists(self) -> Mapping[int, list[float]]:
        found: dict[int, list[float]] = {}
        for lag in self.lags:
            found.setdefault(lag.tick, []).append(lag.seconds)
        return found

    def _batch_lists(self) -> Mapping[int, list[float]]:
        found: dict[int, list[float]] = {}
        tick = 0
        for batch in self.batches:
            while tick + 1 < len(self.began) and batch.started >= self.began[tick + 1]:
                tick += 1
            found.setdefault(tick, []).append(batch.seconds)
        return found

    def _by_tick(self, lists: Mapping[int, list[float]], percent: int) -> list[tuple[float, float]]:
        return [
            (tick, max(values) if percent == 100 or len(values) < 2 else percentile(values, percent))
            for tick, values in sorted(lists.items())
        ]


def growth(values: Sequence[float]) -> float:
    """Return by what part the last quarter's median is above that of the second quarter, when everything is warm."""
    span = max(1, len(values) // 4)
    early, late = statistics.median(values[span : 2 * span] or values), statistics.median(values[-span:])
    return late / early - 1 if early else 0.0


def _right(*names: str) -> Sequence[Any]:
    return [Column(name, justify="right") for name in names]
