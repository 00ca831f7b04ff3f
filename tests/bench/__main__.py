"""Measure icehaul against the ceilings and against what it replaces, in one run: ``python -m tests.bench``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from consumer.domain.writer import Writer
from consumer.embedded.jars import CLICKHOUSE_JDBC, fetch
from consumer.embedded.stack import EmbeddedStack
from consumer.settings.cache import cache_directory
from tests.bench import report
from tests.bench.chart import chart_of
from tests.bench.failpoints import failpoint_cost
from tests.bench.icehaul_path import running_icehaul
from tests.bench.measure import measure
from tests.bench.paths import (
    AbsentPathError,
    Bench,
    Contender,
    arrow_ceiling,
    clickhouse_iceberg,
    parquet_ceiling,
    spark_programs,
)
from tests.bench.report import Report
from tests.bench.trades import COLUMNS, TABLE, fill
from tests.support.machine import describe_machine
from tests.support.platform import Platform

_NOTES = {
    report.PARQUET_CEILING: "ClickHouse writes Parquet itself; no table, no proof",
    report.ARROW_CEILING: "bytes read over HTTP and dropped",
    report.JDBC: "warm session; without tags and attributes, which JDBC can't read",
    report.MAP_IN_ARROW: "warm session; JVM Iceberg writer",
    report.CLICKHOUSE_ICEBERG: "no catalog, no exactly-once",
    report.EXPORT: "the same, ClickHouse writes the files",
    report.STREAM: "tick to committed offset: plan, write, check by digest, publish",
}
_CHOICES = (
    report.PARQUET_CEILING,
    report.ARROW_CEILING,
    report.STREAM,
    report.EXPORT,
    report.CLICKHOUSE_ICEBERG,
    report.MAP_IN_ARROW,
    report.JDBC,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(f"$ python -m tests.bench {' '.join(sys.argv[1:] if arguments is None else arguments)}")
    console.print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="icehaul-bench-") as scratch:
        found = _run(options, Path(scratch), console)
    found.show(console)
    found.write(options.out / "report.json")
    details = {"machine": describe_machine(), "paths": {name: asdict(one) for name, one in found.paths.items()}}
    if found.latencies is not None:
        details["latencies"] = asdict(found.latencies)
        cost = failpoint_cost()
        details["failpoints"] = asdict(cost)
        share = cost.share_of(report.percentile(found.latencies.small, 50))
        console.print(
            f"failpoints, none armed: {cost.effects} effects of a batch at {cost.microseconds:.1f} µs each,"
            f" {share:.3f} % of a small tick"
        )
    details["absent"] = found.absent
    (options.out / "details.json").write_text(json.dumps(details, indent=2) + "\n", encoding="utf-8")
    (options.out / "chart.svg").write_text(chart_of(found.document()), encoding="utf-8")
    console.print(f"report.json, details.json, chart.svg and logs: {os.path.relpath(options.out)}")
    return 0


def _run(options: argparse.Namespace, scratch: Path, console: Console) -> Report:
    with ExitStack() as resources:
        stack = resources.enter_context(EmbeddedStack.start(scratch / "stack"))
        bench, size = _filled(stack, "bench", options.rows, scratch)
        found = Report(rows=options.rows, source_bytes=size, notes=_NOTES)
        contenders = [parquet_ceiling(bench), arrow_ceiling(bench), clickhouse_iceberg(bench)]
        if {report.JDBC, report.MAP_IN_ARROW} & set(options.paths):
            try:
                jars = fetch(
                    CLICKHOUSE_JDBC,
                    java_home=stack.endpoints.java_home,
                    cache=cache_directory(),
                    log_file=options.out / "jars.log",
                )
                spark = resources.enter_context(spark_programs(bench, jars, options.out / "spark.log"))
                contenders += [spark.contender(report.JDBC), spark.contender(report.MAP_IN_ARROW)]
            except Exception as error:  # noqa: BLE001 - whatever keeps Spark from running is what is reported
                found.absent |= dict.fromkeys((report.JDBC, report.MAP_IN_ARROW), str(error))
        haul = resources.enter_context(running_icehaul(bench, options.rounds, options.out / "icehaul.log"))
        contenders.append(haul.contender(report.STREAM))
        if report.EXPORT in options.paths:
            # A consumer has one writer: the other one has tables of the same rows, a ledger's streams and a group.
            exporting, _ = _filled(stack, "bench_export", options.rows, scratch)
            log = options.out / "icehaul-export.log"
            exporter = resources.enter_context(
                running_icehaul(exporting, options.rounds, log, "export_", Writer.EXPORT)
            )
            contenders.append(exporter.contender(report.EXPORT))
        ordered = [one for name in options.paths for one in contenders if one.name == name]
        for number in range(options.rounds + 1):
            # The first round warms up: classes loaded, connections made, pages cached.
            for contender in ordered:
                _measure(contender, number, found, console)
        if options.ticks:
            console.print(f"{options.ticks} small and {options.ticks} idle ticks …")
            found.latencies = haul.latencies(options.ticks)
    return found


def _measure(contender: Contender, number: int, found: Report, console: Console) -> None:
    if contender.name in found.absent:
        return
    try:
        one = measure(found.rows, contender.groups, lambda: contender.run(number))
    except Exception as error:  # noqa: BLE001 - a path that fails is reported with its error; the others go on
        if not isinstance(error, AbsentPathError):
            console.print_exception(max_frames=3)
        found.absent[contender.name] = str(error).partition("\n")[0][:300]
        found.paths.pop(contender.name, None)
        return
    console.print(f"{'warm-up' if number == 0 else f'round {number}'}: {contender.name} {one.seconds:.2f} s")
    best = found.paths.get(contender.name)
    if number and (best is None or one.seconds < best.seconds):
        found.paths[contender.name] = one


def _filled(stack: EmbeddedStack, name: str, rows: int, scratch: Path) -> tuple[Bench, int]:
    """Make a database with the table of trades; return it, and the table's uncompressed bytes."""
    platform = Platform(stack.endpoints, name, scratch)
    os.environ.update(platform.environment())
    platform.client.command(
        f"CREATE TABLE {name}.{TABLE} ({COLUMNS}) ENGINE = MergeTree PARTITION BY toDate(ts) ORDER BY (symbol, ts, seq)"
    )
    size = fill(platform, rows)
    return Bench(stack=stack, platform=platform, rows=rows, cores=os.cpu_count() or 1, own_pid=os.getpid()), size


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000, help="trades to generate")
    parser.add_argument("--rounds", type=int, default=2, help="measured runs of each path; the best one counts")
    parser.add_argument("--ticks", type=int, default=50, help="small and idle ticks to time; 0 leaves them out")
    parser.add_argument("--paths", nargs="+", choices=_CHOICES, default=_CHOICES, help="what to compare")
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="where report, chart and logs go")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
