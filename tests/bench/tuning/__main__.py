"""Which layout of data files suits which query, and what it costs to write: ``python -m tests.bench.tuning``.

The same generated trades are written with each codec, level, row group, page, dictionary, sort order and size of file,
by both writers, and asked for by three engines. CPU seconds compare on a machine that does something else besides;
seconds do not.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from rich.console import Console
from rich.table import Table

from consumer.domain.writer import Writer
from consumer.embedded.stack import EmbeddedStack
from tests.bench.measure import Measurement
from tests.bench.paths import Bench
from tests.bench.trades import COLUMNS, TABLE, fill
from tests.bench.tuning.candidates import ASPECTS, candidates
from tests.bench.tuning.questions import Answer, Asker
from tests.bench.tuning.writing import Place, applications, place, write
from tests.support.machine import describe_machine
from tests.support.platform import Platform
from tests.support.store_meter import StoreMeter

_MEGA = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    place: Place
    written: Measurement
    answers: dict[str, dict[str, Answer]]

    def document(self) -> dict[str, object]:
        return {
            "layout": self.place.candidate.name,
            "writer": self.place.writer.value,
            "bytes": self.written.bytes_written,
            "write_cpu_seconds": round(self.written.cpu_seconds, 2),
            "write_seconds": round(self.written.seconds, 2),
            "rows_per_cpu_second": round(self.written.rows_per_cpu_second),
            "queries": {
                question: {engine: asdict(answer) for engine, answer in engines.items()}
                for question, engines in self.answers.items()
            },
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; return the exit status."""
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(f"$ python -m tests.bench.tuning {' '.join(sys.argv[1:] if arguments is None else arguments)}")
    console.print(describe_machine())
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="icehaul-bench-") as scratch:
        rows = _run(options, Path(scratch), console)
    console.print(_table(options.rows, rows))
    report = {"machine": describe_machine(), "rows": options.rows, "layouts": [row.document() for row in rows]}
    (options.out / "tuning.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    console.print(f"tuning.json: {os.path.relpath(options.out)}")
    return 0


def _run(options: argparse.Namespace, scratch: Path, console: Console) -> list[_Row]:
    with ExitStack() as resources:
        stack = resources.enter_context(EmbeddedStack.start(scratch / "stack"))
        platform = Platform(stack.endpoints, "bench", scratch)
        os.environ.update(platform.environment())
        platform.sections |= {"store": {"prefix": "bench/icehaul"}}
        platform.client.command(
            f"CREATE TABLE bench.{TABLE} ({COLUMNS}) ENGINE = MergeTree PARTITION BY toDate(ts)"
            f" ORDER BY ({options.order_by})"
        )
        fill(platform, options.rows)
        bench = Bench(stack=stack, platform=platform, rows=options.rows, cores=os.cpu_count() or 1, own_pid=os.getpid())
        tried = candidates(options.rows, options.aspects)
        writers = [Writer(name) for name in options.writers]
        # The first one warms up: code loaded, connections made, pages cached.
        places = [place(bench, number, one, by) for number, one in enumerate((tried[0], *tried)) for by in writers]
        by_writer = resources.enter_context(applications(platform.configuration()))
        meter = resources.enter_context(StoreMeter(urlsplit(stack.endpoints.store.endpoint).port or 0))
        asker = resources.enter_context(closing(Asker(bench, meter)))
        found = []
        for to in places:
            written = write(bench, by_writer[to.writer], to)
            row = _Row(place=to, written=written, answers=asker.ask(to.table))
            console.print(
                f"{to.candidate.name}, {to.writer}: {written.bytes_written / _MEGA:.1f} MB,"
                f" {written.cpu_seconds:.2f} CPU s"
            )
            found.append(row)
        return found[len(writers) :]


def _table(rows: int, found: Sequence[_Row]) -> Table:
    table = Table(title=f"{rows:,} trades; queries: CPU ms and MB read of PyIceberg / DuckDB / ClickHouse")
    for heading in ("layout", "writer"):
        table.add_column(heading)
    for heading in ("MB", "CPU s", "rows/CPU s"):
        table.add_column(heading, justify="right", no_wrap=True)
    names = list(found[0].answers) if found else []
    for name in names:
        table.add_column(f"{name}: CPU ms", justify="right", no_wrap=True)
        table.add_column("MB", justify="right", no_wrap=True)
    for row in found:
        cells = []
        for name in names:
            engines = row.answers[name].values()
            cells.append(" / ".join(f"{one.cpu_ms:.0f}" for one in engines))
            cells.append(" / ".join(f"{one.bytes / _MEGA:.1f}" for one in engines))
        table.add_row(
            row.place.candidate.name,
            row.place.writer.value,
            f"{row.written.bytes_written / _MEGA:.1f}",
            f"{row.written.cpu_seconds:.2f}",
            f"{row.written.rows_per_cpu_second:,.0f}",
            *cells,
        )
    return table


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tuning", description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000_000, help="trades to generate")
    parser.add_argument("--aspects", nargs="+", choices=ASPECTS, default=ASPECTS, help="what to vary")
    parser.add_argument("--writers", nargs="+", choices=[one.value for one in Writer], default=["stream", "export"])
    parser.add_argument("--order-by", default="symbol, ts, seq", help="sorting key of the source")
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="where the report goes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
