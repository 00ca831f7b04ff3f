"""Cold queries before and after maintenance, and what maintenance costs: ``python -m tests.bench.cold``.

A table of trades is written as the platform writes it, a small file each quarter of an hour. Then a day, a range of
days, one trade, and sums of all are asked for through ClickHouse, Spark, PyIceberg and DuckDB, before ``icehaul
maintain`` and after it. Every answer has to be that of the hot table; files and bytes are counted at the store.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog
from rich.console import Console

from consumer.embedded.component import ComponentName
from consumer.embedded.stack import EmbeddedStack
from tests.bench.cold.asking import Asked, Patience
from tests.bench.cold.filling import Shape, add_stream, create_source, exporting, tick_by_tick
from tests.bench.cold.ingestion import measure_slowdown
from tests.bench.cold.report import AFTER, BEFORE, HOT, Report
from tests.bench.cold.session import cold_table
from tests.bench.cold.sizes import files_now
from tests.bench.measure import Measurement, measure
from tests.bench.paths import Bench
from tests.support.machine import describe_machine
from tests.support.platform import Platform
from tests.support.processes import PeakMemory, icehaul

_ROWS_A_DAY = 5_000_000
_FILE_ROWS = 2_000_000
_FILE_BYTES = 512 * 2**20
_SAMPLE_SECONDS = 0.5
_MAINTENANCE_SECONDS = 3600
"""What is waited for ``icehaul maintain``, at most."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 if a figure is beyond its limit."""
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=None if sys.stdout.isatty() else 200)
    command = f"python -m tests.bench.cold {' '.join(sys.argv[1:] if arguments is None else arguments)}"
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    days = max(2, options.rows // options.rows_a_day)
    shape = Shape(days=days, rows=options.rows // days, ticks=options.ticks)
    found = Report(command=command, machine=describe_machine(), rows=shape.all_rows, days=shape.days, ticks=shape.ticks)
    console.print(f"$ {command}")
    console.print(found.machine)
    with tempfile.TemporaryDirectory(prefix="icehaul-bench-") as folder:
        scratch = Path(folder)
        with EmbeddedStack.start(scratch / "stack") as stack:
            if options.rows:
                _queries(stack, shape, scratch, options, found, console)
            if options.rounds:
                said = partial(_said, console)
                found.slowdown, found.slowdown_details = measure_slowdown(
                    stack, scratch, options.out, options.tick_rows, options.rounds, said
                )
    found.show(console)
    _write(found, options)
    console.print(f"cold.json and logs: {os.path.relpath(options.out)}")
    return 0 if all(target.holds for target in found.targets()) else 1


def _queries(
    stack: EmbeddedStack, shape: Shape, scratch: Path, options: argparse.Namespace, found: Report, console: Console
) -> None:
    """Write the table, and ask for it before and after maintenance."""
    cores = os.cpu_count() or 1
    platform = Platform(stack.endpoints, "bench_cold", scratch)
    os.environ.update(platform.environment())
    platform.sections |= {"store": {"prefix": "bench/cold"}, "spark": {"master": f"local[{cores}]"}}
    create_source(platform)
    stream = add_stream(platform, _layout(options))
    said = partial(_said, console)
    started = time.perf_counter()
    with exporting(platform) as application:
        tick_by_tick(platform, application, stream, shape, said)
    found.written_seconds = time.perf_counter() - started
    patience = Patience(repeats=options.repeats, seconds=options.seconds)
    tell = partial(_tell, console)
    with cold_table(stack, platform, shape, scratch, spark_cores=cores) as table:
        found.asked[HOT] = table.hot(patience, tell)
        found.files[BEFORE] = files_now(table.now(), _FILE_ROWS, _FILE_BYTES)
        found.asked[BEFORE] = table.ask(patience, tell)
        bench = Bench(stack=stack, platform=platform, rows=shape.all_rows, cores=cores, own_pid=os.getpid())
        found.maintained = _maintain(bench, stream, options.out / "cold-maintain.log")
        said(f"icehaul maintain: {found.maintained.seconds:.1f} s")
        _write(found, options)
        found.files[AFTER] = files_now(table.now(), _FILE_ROWS, _FILE_BYTES)
        found.asked[AFTER] = table.ask(patience, tell)
        _write(found, options)


def _layout(options: argparse.Namespace) -> dict[str, object]:
    layout: dict[str, object] = {"sort_by": options.sort_by, "table_properties": dict(options.property)}
    return {name: value for name, value in layout.items() if value}


def _maintain(bench: Bench, stream: str, log: Path) -> Measurement:
    """Run ``icehaul maintain`` as an operator does."""
    config, environment = bench.platform.write(), bench.platform.environment()
    with icehaul("maintain", stream, "-c", str(config), log=log, environment=environment) as command:

        def run() -> int:
            code = command.popen.wait(_MAINTENANCE_SECONDS)
            if code:
                raise AssertionError(f"icehaul maintain ended with {code}:\n{command.text()[-3000:]}")
            return 0

        groups = bench.groups(ComponentName.CLICKHOUSE, ComponentName.STORE, ComponentName.POSTGRES)
        before = _ended_cpu()
        with PeakMemory(command.pid, _SAMPLE_SECONDS) as peak:
            measured = measure(bench.rows, groups, run, sampled=False)
        # Of a process that has ended the kernel tells its parent alone; whom nobody waited for is missing.
        cpu = {**measured.cpu, "icehaul": _ended_cpu() - before}
        return replace(measured, cpu=cpu, peak_rss_mib=peak.mib)


def _ended_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _write(found: Report, options: argparse.Namespace) -> None:
    (options.out / "cold.json").write_text(json.dumps(found.document(), indent=2) + "\n", encoding="utf-8")


def _said(console: Console, text: str) -> None:
    console.print(text)


def _tell(console: Console, one: Asked) -> None:
    console.print(
        f"  {one.engine}, {one.query}: first {one.first_ms:.0f} ms, p50 {one.percentile(50):.0f} ms, p99"
        f" {one.percentile(99):.0f} ms, {one.cpu_ms:.0f} CPU ms of {len(one.warm_ms)}; {one.files} files"
        f" ({one.needless} needless), {one.bytes / 1e6:.1f} MB"
    )


def _property(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cold", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000, help="trades in all; 0 leaves the queries out")
    parser.add_argument("--rows-a-day", type=int, default=_ROWS_A_DAY, help="trades of one day; there are two at least")
    parser.add_argument("--ticks", type=int, default=96, help="ticks of one day, each of which leaves a file behind")
    parser.add_argument("--repeats", type=int, default=100, help="warm runs of a query, at most")
    parser.add_argument(
        "--seconds", type=float, default=5, help="for how long a query is repeated, three times at least"
    )
    parser.add_argument("--sort-by", nargs="+", default=[], help="sort order of the target")
    parser.add_argument("--property", type=_property, action="append", default=[], help="NAME=VALUE of the target")
    parser.add_argument("--tick-rows", type=int, default=200_000, help="rows of one stream and tick beside maintenance")
    parser.add_argument(
        "--rounds", type=int, default=3, help="pairs of days of either kind, with and without maintenance; 0: none"
    )
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="where report and logs go")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
