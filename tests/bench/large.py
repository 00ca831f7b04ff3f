"""Peak memory from a million rows to a hundred million: ``python -m tests.bench.large`` (``make bench-large``).

For each number of rows and each writer a table of generated trades is offloaded by a fresh consumer with one tick, and
removed again. Memory is that of the consumer, its Spark driver and its Python workers, shared pages counted once (PSS).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from consumer.domain.writer import Writer
from consumer.embedded.stack import EmbeddedStack
from tests.bench.icehaul_path import running_icehaul
from tests.bench.measure import Measurement, measure
from tests.bench.paths import Bench
from tests.bench.trades import COLUMNS, TABLE, fill
from tests.support.machine import describe_machine
from tests.support.platform import Platform
from tests.support.processes import PeakMemory

LIMIT_MIB = 2048
"""What consumer, Spark driver and Python workers may take together, whatever the number of rows."""

_SIZES = (1_000_000, 10_000_000, 100_000_000)
_DISK_BYTES_PER_ROW = 220
"""Source and its merges, data files, and what an export writes before it is copied."""
_DISK_KEPT = 8 * 1024**3
_FIRST_GUESS = 60_000
"""Rows per second, generating included, before anything has been measured."""
_START_SECONDS = 45
"""What starting and stopping servers and consumer takes, about, whatever the number of rows."""
_SAMPLE_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One number of rows by one writer."""

    writer: str
    measured: Measurement
    peak_mib: float

    def document(self) -> dict[str, object]:
        """Return it as it is written to ``large.json``."""
        return {
            "writer": self.writer,
            "rows": self.measured.rows,
            "seconds": round(self.measured.seconds, 2),
            "rows_per_second": round(self.measured.rows_per_second),
            "rows_per_cpu_second": round(self.measured.rows_per_cpu_second),
            "peak_mib": round(self.peak_mib),
            "cpu": {name: round(value, 2) for name, value in self.measured.cpu.items()},
            "bytes_written": self.measured.bytes_written,
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 if the memory was more than it may be."""
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(f"$ python -m tests.bench.large {' '.join(sys.argv[1:] if arguments is None else arguments)}")
    console.print(describe_machine())
    sizes = [size for size in options.sizes if size <= options.rows]
    with tempfile.TemporaryDirectory(prefix="icehaul-bench-") as scratch:
        runs = _run(options, sizes, Path(scratch), console)
    ratios = peak_ratios(runs)
    _show(console, runs, ratios)
    report = {"machine": describe_machine(), "runs": [run.document() for run in runs], "peak_ratios": ratios}
    (options.out / "large.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 1 if any(run.peak_mib > LIMIT_MIB for run in runs) else 0


def peak_ratios(runs: Sequence[Run]) -> dict[str, float]:
    """Return the peak at the most rows divided by that at the fewest, by writer."""
    found = {}
    for writer in dict.fromkeys(run.writer for run in runs):
        by_rows = sorted((run for run in runs if run.writer == writer), key=lambda run: run.measured.rows)
        found[writer] = round(by_rows[-1].peak_mib / by_rows[0].peak_mib, 3)
    return found


def room_for(rows: int, free: int) -> bool:
    """Tell whether a table of ``rows`` rows and its files fit into ``free`` bytes of disk."""
    return rows * _DISK_BYTES_PER_ROW + _DISK_KEPT <= free


def _run(options: argparse.Namespace, sizes: Sequence[int], scratch: Path, console: Console) -> list[Run]:
    runs: list[Run] = []
    speed: float = _FIRST_GUESS
    for size in sizes:
        for writer in options.writers:
            free = shutil.disk_usage(scratch).free
            if not room_for(size, free):
                console.print(f"{size:,} rows are left out: {free / 1024**3:.0f} GiB of disk are free")
                continue
            console.print(f"{size:,} rows by {writer}: about {(_START_SECONDS + size / speed) / 60:.1f} minutes …")
            run, speed = _measured(size, Writer(writer), options, scratch)
            runs.append(run)
            console.print(f"  {runs[-1].measured.seconds:.1f} s, peak {runs[-1].peak_mib:,.0f} MiB")
    return runs


def _measured(rows: int, writer: Writer, options: argparse.Namespace, scratch: Path) -> tuple[Run, float]:
    """Measure one run on servers of its own, which are removed; return it and the rows per second, filling included."""
    place = scratch / f"{rows}-{writer}"
    log = options.out / f"large-{rows}-{writer}.log"
    with EmbeddedStack.start(place / "stack") as stack, closing(Platform(stack.endpoints, "bench", place)) as platform:
        os.environ.update(platform.environment())
        platform.client.command(
            f"CREATE TABLE bench.{TABLE} ({COLUMNS}) ENGINE = MergeTree PARTITION BY toDate(ts)"
            " ORDER BY (symbol, ts, seq)"
        )
        started = time.perf_counter()
        fill(platform, rows, merged=rows <= options.merged)
        filling = time.perf_counter() - started
        bench = Bench(stack=stack, platform=platform, rows=rows, cores=os.cpu_count() or 1, own_pid=os.getpid())
        with running_icehaul(bench, 0, log, writer=writer) as haul, PeakMemory(haul.pid, _SAMPLE_SECONDS) as peak:
            contender = haul.contender(writer)
            measured = measure(rows, contender.groups, lambda: contender.run(0), sampled=False)
    shutil.rmtree(place, ignore_errors=True)
    return Run(writer=writer, measured=measured, peak_mib=peak.mib), rows / (filling + measured.seconds)


def _show(console: Console, runs: Sequence[Run], ratios: Mapping[str, float]) -> None:
    table = Table(title="one tick from topic to committed offset; memory of consumer, Spark driver and Python workers")
    for heading in ("writer", "rows", "s", "rows/s", "CPU s", "rows/CPU s", "peak MiB", "MB written"):
        table.add_column(heading, justify="left" if heading == "writer" else "right", no_wrap=True)
    for run in runs:
        found = run.measured
        table.add_row(
            run.writer,
            f"{found.rows:,}",
            f"{found.seconds:.1f}",
            f"{found.rows_per_second:,.0f}",
            f"{found.cpu_seconds:.1f}",
            f"{found.rows_per_cpu_second:,.0f}",
            f"{run.peak_mib:,.0f}",
            f"{found.bytes_written / 1e6:,.0f}",
        )
    console.print(table)
    for writer, ratio in ratios.items():
        console.print(
            f"{writer}: peak at the most rows is {ratio:.2f} of that at the fewest (limit: {LIMIT_MIB:,} MiB)"
        )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.large", description=__doc__)
    parser.add_argument("--rows", type=int, default=_SIZES[-1], help="the most rows; larger sizes are left out")
    parser.add_argument("--sizes", type=int, nargs="+", default=_SIZES, help="numbers of rows")
    parser.add_argument("--writers", nargs="+", choices=[one.value for one in Writer], default=["stream", "export"])
    parser.add_argument("--merged", type=int, default=10_000_000, help="up to this size the source is merged before")
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="where report and logs go")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
