"""What the benchmark of cold queries found: as tables for people, as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from rich.console import Console
from rich.table import Table

from tests.bench.cold.asking import Asked
from tests.bench.cold.ingestion import SLOWER, Slowdown
from tests.bench.cold.sizes import SMALL_RATIO, Files
from tests.bench.measure import Measurement
from tests.support.figure import Figure

DAY_MS = 1000
"""The milliseconds that a query of one day may take warm, p99, through ClickHouse and through Spark."""
BEFORE, AFTER, HOT = "before", "after", "hot"
_JUDGED = ("ClickHouse", "Spark")
_MEGA = 1e6


@dataclass(slots=True, kw_only=True)
class Report:
    """The results of one run; what was left out is ``None``, or not there."""

    command: str
    machine: str
    rows: int
    days: int
    ticks: int
    asked: dict[str, Sequence[Asked]] = field(default_factory=dict)
    files: dict[str, Files] = field(default_factory=dict)
    written_seconds: float = 0.0
    maintained: Measurement | None = None
    slowdown: Slowdown | None = None
    slowdown_details: Mapping[str, object] = field(default_factory=dict)

    def targets(self) -> list[Figure]:
        """Return the figures that have a limit."""
        found = []
        if AFTER in self.files:
            found.append(
                Figure(name="small files after maintenance", measured=self.files[AFTER].small_ratio, most=SMALL_RATIO)
            )
        found += [
            Figure(name=f"one day through {one.engine}, p99 ms", measured=one.percentile(99), most=DAY_MS)
            for one in self.asked.get(AFTER, ())
            if one.query == "day" and one.engine in _JUDGED
        ]
        if self.slowdown is not None:
            slowed = {"paced": self.slowdown.paced, "back to back": self.slowdown.back_to_back}
            found += [Figure(name=f"ingestion slowed, {how}", measured=by, most=SLOWER) for how, by in slowed.items()]
        return found

    def document(self) -> dict[str, object]:
        """Return the report as it is written to ``cold.json``."""
        maintained = self.maintained
        return {
            "command": self.command,
            "machine": self.machine,
            "rows": self.rows,
            "days": self.days,
            "ticks_a_day": self.ticks,
            "written_seconds": round(self.written_seconds, 1),
            "files": {state: files.document() for state, files in self.files.items()},
            "queries": {state: [one.document() for one in asked] for state, asked in self.asked.items()},
            "ratios": self.ratios(),
            "maintenance": None
            if maintained is None
            else {
                "seconds": round(maintained.seconds, 1),
                "cpu_seconds": round(maintained.cpu_seconds, 1),
                "cpu": {name: round(seconds, 1) for name, seconds in maintained.cpu.items()},
                "peak_mib": round(maintained.peak_rss_mib),
            },
            "ingestion": None
            if self.slowdown is None
            else {key: round(value, 4) for key, value in asdict(self.slowdown).items()} | dict(self.slowdown_details),
            "targets": [asdict(one) | {"met": one.holds} for one in self.targets()],
        }

    def ratios(self) -> dict[str, dict[str, float]]:
        """Return warm medians divided by those before maintenance, and by those of the hot table, where both are."""
        found: dict[str, dict[str, float]] = {}
        before = {(one.engine, one.query): one.percentile(50) for one in self.asked.get(BEFORE, ())}
        hot = {one.query: one.percentile(50) for one in self.asked.get(HOT, ())}
        for one in self.asked.get(AFTER, ()):
            place = found.setdefault(f"{one.engine}, {one.query}", {})
            if (one.engine, one.query) in before:
                place["to_before"] = round(one.percentile(50) / before[one.engine, one.query], 3)
            if one.query in hot:
                place["to_hot"] = round(one.percentile(50) / hot[one.query], 3)
        return found

    def show(self, console: Console) -> None:
        """Print it."""
        if self.asked:
            console.print(self._queries())
        for state, files in self.files.items():
            console.print(
                f"{state} maintenance: {files.files:,} files, {files.bytes / _MEGA:,.0f} MB, {files.manifests}"
                f" manifests; small (< 32 MiB): {files.small:,}, could be fewer: {files.superfluous:,}"
                f" ({files.small_ratio:.1%})"
            )
        if self.maintained is not None:
            console.print(
                f"maintenance: {self.maintained.seconds:.1f} s, {self.maintained.cpu_seconds:.1f} CPU s, peak"
                f" {self.maintained.peak_rss_mib:,.0f} MiB of driver and tasks"
            )
        for target in self.targets():
            said = "" if target.holds else " NOT MET"
            console.print(f"{target.name}: {target.measured:.4g} (at most {target.most:g}){said}")

    def _queries(self) -> Table:
        table = Table(title=f"{self.rows:,} trades of {self.days} days in {self.ticks} files each; ms, files, MB read")
        for heading in ("query", "engine"):
            table.add_column(heading)
        for state in (BEFORE, AFTER):
            for heading in ("first", "p50", "p99", "CPU", "files", "MB"):
                table.add_column(f"{state}: {heading}", justify="right", no_wrap=True)
        cells: dict[tuple[str, str], list[str]] = {}
        for state in (BEFORE, AFTER):
            for one in self.asked.get(state, ()):
                cells.setdefault((one.query, one.engine), []).extend(_cells(one))
        for one in self.asked.get(HOT, ()):
            cells[one.query, one.engine] = _cells(one)[:4]
        for (query, engine), texts in sorted(cells.items(), key=lambda cell: cell[0][0]):
            table.add_row(query, engine, *texts)
        return table


def _cells(one: Asked) -> list[str]:
    files = f"{one.files:,}" + (f" ({one.needless} needless)" if one.needless else "")
    return [
        f"{one.first_ms:.0f}",
        f"{one.percentile(50):.0f}",
        f"{one.percentile(99):.0f}",
        f"{one.cpu_ms:.0f}",
        files,
        f"{one.bytes / _MEGA:.1f}",
    ]
