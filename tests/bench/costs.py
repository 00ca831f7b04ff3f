"""Fit what a row, a unit, a batch and a commit cost, and what that means for a day: ``python -m tests.bench.costs``.

Runs differ in rows, units, batches and commits on purpose; one kind of run is kept out of the fit, and predicted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

from consumer.domain.event_factory import tick
from consumer.embedded.component import ComponentName
from consumer.embedded.stack import EmbeddedStack
from tests.bench.cost_model import PARTS, CostModel, Plan, Sample, Work, cores, fit
from tests.bench.icehaul_path import Icehaul, running_icehaul
from tests.bench.measure import cpu_by_group
from tests.bench.paths import Bench
from tests.bench.trades import COLUMNS, DAY, TABLE, fill
from tests.support.machine import describe_machine
from tests.support.platform import Platform, day

WALL, ALL = "wall", "all CPU"
_PAUSE_S = 0.02
"""Between two looks at the committed offset, for which the broker works; at rest it is looked at as often."""
_REST_S = 8.0
"""How long it is watched what the programs take while nothing is to be done."""
_DONE = (
    "SELECT coalesce(sum(b.rows), 0)::bigint, count(*),"
    " (SELECT count(*) FROM offload_files f JOIN offload_batches o USING (batch_id)"
    " WHERE o.stream = %(stream)s AND o.status = 'published')"
    " FROM offload_batches b WHERE b.stream = %(stream)s AND b.status = 'published'"
)


Rates = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A kind of run: shares of the table that its events ask for, one after the other, and the stream's bounds."""

    name: str
    shares: tuple[float, ...]
    batch_rows: int | None = None
    unit_rows: int | None = None


def shapes(rows: int, ticks: int) -> tuple[Shape, ...]:
    """Return the kinds of runs for a table of ``rows``; the last one is for the check."""
    third = rows // 3
    small = tuple(1 / 3 * (number + 1) / ticks for number in range(ticks))
    return (
        Shape(name="idle", shares=(0.0,) * ticks),
        Shape(name="small events", shares=small),
        Shape(name="one unit", shares=(1 / 3,)),
        Shape(name="many units", shares=(1 / 3,), unit_rows=third // 16),
        Shape(name="many batches", shares=(1 / 3,), batch_rows=third // 12),
        Shape(name="large", shares=(1.0,), unit_rows=third),
        Shape(name="check", shares=(0.4, 0.8), batch_rows=rows // 8, unit_rows=rows // 24),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.costs", description=__doc__)
    parser.add_argument("--rows", type=int, default=900_000, help="trades in the source table")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each kind, each on a stream of its own")
    parser.add_argument("--ticks", type=int, default=16, help="events of the runs with small and with no batches")
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="where the report and the log go")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(f"$ python -m tests.bench.costs {' '.join(sys.argv[1:] if arguments is None else arguments)}")
    console.print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="icehaul-bench-") as scratch:
        samples, rest = _measured(options, Path(scratch), console)
    fitted = [sample for sample in samples if sample.name != "check"]
    model = fit(fitted)
    _show_costs(console, model)
    _show_residuals(console, model, samples)
    _show_day(console, model, rest)
    report = {
        "machine": describe_machine(),
        "samples": [asdict(one) for one in samples],
        "costs": dict(model.costs),
        "cores_at_rest": dict(rest),
    }
    (options.out / "costs.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _measured(options: argparse.Namespace, scratch: Path, console: Console) -> tuple[list[Sample], Rates]:
    with EmbeddedStack.start(scratch / "stack") as stack:
        platform = Platform(stack.endpoints, "costs", scratch)
        os.environ.update(platform.environment())
        platform.client.command(
            f"CREATE TABLE costs.{TABLE} ({COLUMNS}) ENGINE = MergeTree PARTITION BY toDate(ts) ORDER BY (ts, seq)"
        )
        fill(platform, options.rows)
        bench = Bench(stack=stack, platform=platform, rows=options.rows, cores=os.cpu_count() or 1, own_pid=os.getpid())
        kinds = shapes(options.rows, options.ticks)
        for number in range(options.rounds):
            platform.streams.extend(_stream(shape, number) for shape in kinds)
        warm_up = kinds[-1], options.rounds
        platform.streams.append(_stream(*warm_up))
        with running_icehaul(bench, 0, options.out / "costs.log") as haul:
            runs = [(shape, number) for number in range(options.rounds) for shape in kinds]
            # Classes are loaded, connections made and pages cached by a run that does not count.
            _run(haul, bench, *warm_up, {})
            rest = _at_rest(haul, bench)
            samples = [_run(haul, bench, *run, rest) for run in runs]
        for sample in samples:
            console.print(f"{sample.name}: {sample.work}, {sample.seconds[WALL]:.2f} s")
        return samples, rest


def _at_rest(haul: Icehaul, bench: Bench) -> Rates:
    """Return the cores that each program keeps busy while nothing is to be done: brokers and JVMs never sleep."""
    groups = bench.groups(*ComponentName, icehaul=haul.pid)
    before, started = cpu_by_group(groups), time.perf_counter()
    while time.perf_counter() - started < _REST_S:
        haul.committed()
        time.sleep(_PAUSE_S)
    seconds = time.perf_counter() - started
    return {name: (after - before[name]) / seconds for name, after in cpu_by_group(groups).items()}


def _run(haul: Icehaul, bench: Bench, shape: Shape, number: int, rest: Rates) -> Sample:
    stream = str(_stream(shape, number)["name"])
    # The stream's first event describes the source and makes the target, once in its life.
    haul.handle(tick(stream=stream, boundary=_boundary(0.0)))
    groups = bench.groups(*ComponentName, icehaul=haul.pid)
    before, done = cpu_by_group(groups), _done(bench, stream)
    started = time.perf_counter()
    for position, share in enumerate(shape.shares):
        # Idle events are new ones, too: they ask for what is there already.
        haul.handle(tick(stream=stream, boundary=_boundary(share, position if share == 0 else 0)), pause=_PAUSE_S)
    seconds = time.perf_counter() - started
    cpu = {
        name: max(0.0, after - before[name] - rest.get(name, 0.0) * seconds)
        for name, after in cpu_by_group(groups).items()
    }
    rows, batches, units = (now - then for now, then in zip(_done(bench, stream), done, strict=True))
    work = Work(rows=rows, units=units, batches=batches, commits=len(shape.shares))
    if shape.shares[-1] > 0 and rows == 0:
        raise AssertionError(f"{stream} offloaded nothing")
    return Sample(name=shape.name, work=work, seconds={WALL: seconds, ALL: sum(cpu.values()), **cpu})


def _boundary(share: float, position: int = 0) -> datetime:
    return day(DAY) + timedelta(days=share, microseconds=1 + position)


def _done(bench: Bench, stream: str) -> tuple[int, int, int]:
    with psycopg.connect(bench.endpoints.postgres.dsn) as connection:
        row = connection.execute(_DONE, {"stream": stream}).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), int(row[2])


def _stream(shape: Shape, number: int) -> dict[str, object]:
    name = f"{shape.name.replace(' ', '_')}_{number}"
    bounds = {"rows": shape.batch_rows, "unit_rows": shape.unit_rows}
    return {
        "name": f"costs_{name}",
        "source": f"costs.{TABLE}",
        "target": f"costs.{name}",
        "timestamp_column": "ts",
        "sequence_columns": ["seq"],
        "settle_lag": "0s",
        "batch": {key: value for key, value in bounds.items() if value is not None},
    }


def _show_costs(console: Console, model: CostModel) -> None:
    table = Table(title="seconds for each …")
    table.add_column("of")
    for part in ("million rows", *PARTS[1:]):
        table.add_column(part, justify="right")
    for kind, (row, *others) in model.costs.items():
        table.add_row(kind, f"{row * 1e6:.3f}", *(f"{cost:.4f}" for cost in others))
    console.print(table)


def _show_residuals(console: Console, model: CostModel, samples: Sequence[Sample]) -> None:
    table = Table(title="predicted ÷ measured; check was not used for the fit")
    for heading in ("run", "rows", "units", "batches", "commits", "CPU s", "predicted", "ratio", "wall s", "ratio"):
        table.add_column(heading, justify="right")
    for sample in samples:
        cpu, wall = model.predict(ALL, sample.work), model.predict(WALL, sample.work)
        table.add_row(
            sample.name,
            *(f"{amount:,.0f}" for amount in sample.work.vector()),
            f"{sample.seconds[ALL]:.2f}",
            f"{cpu:.2f}",
            f"{cpu / sample.seconds[ALL]:.2f}",
            f"{sample.seconds[WALL]:.2f}",
            f"{wall / sample.seconds[WALL]:.2f}",
        )
    console.print(table)


def _show_day(console: Console, model: CostModel, rest: Rates) -> None:
    kinds = [kind for kind in model.costs if kind not in {WALL, ALL}]
    table = Table(title="1,000,000,000 rows a day: cores that are busy all day")
    for heading in ("streams", "events each", "batches", "units", "all", *kinds, "hours of one consumer"):
        table.add_column(heading, justify="right")
    for streams, events in ((10, 96), (10, 24), (100, 96), (1000, 96)):
        work = Plan(rows=1_000_000_000, streams=streams, events=events).work()
        table.add_row(
            f"{streams:,}",
            f"{events:,}",
            f"{work.batches:,}",
            f"{work.units:,}",
            f"{cores(model, ALL, work):.2f}",
            *(f"{cores(model, kind, work):.2f}" for kind in kinds),
            f"{model.predict(WALL, work) / 3600:.1f}",
        )
    table.add_row("at rest", *[""] * 3, f"{sum(rest.values()):.2f}", *(f"{rest[kind]:.2f}" for kind in kinds), "")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
