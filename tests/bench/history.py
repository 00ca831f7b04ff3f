"""What history costs: a batch of a stream with many snapshots behind it, beside one with ten: ``make bench-history``.

Both streams are filled by the product itself, batch by batch, from ClickHouse to the publish, a quarter of an hour
each; only Spark is left out: a batch's tasks run in this process. Then rows arrive and a tick comes for one stream and
for the other in turn, so that whatever else the machine does meets both. *Whole* is a tick from the claim to the last
late row; *commit* is the publish within it.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import structlog
from rich.console import Console
from rich.table import Table

from consumer.adapters.iceberg.catalog import IcebergCatalog
from consumer.bootstrap import Application
from consumer.embedded.component import ComponentName
from consumer.embedded.stack import EmbeddedStack
from tests.bench.measure import cpu_by_group
from tests.bench.store_traffic import StoreTraffic, counting_store
from tests.support.local_platform import LocalPlatform, ledger_database, local_platform, offload
from tests.support.machine import describe_machine
from tests.support.platform import day

LIMIT = 1.2
"""What a batch after many snapshots may cost, in batches after ten."""

JUDGED = ("commit, CPU ms", "whole, icehaul's CPU ms")
"""The figures that are held against it: CPU time of this process, which a busy machine changes little."""

YOUNG = 10
"""Snapshots that the stream with a short past has."""

_OLD_STREAM, _YOUNG_STREAM = "old", "young"
_WINDOW = timedelta(minutes=15)
_DAY = timedelta(days=1)
_PER_DAY = _DAY // _WINDOW
_TODAY = day("2024-06-03")
"""The day of the measured batches: both streams have ten batches of it behind them, one has earlier days besides."""
_SERVERS = (ComponentName.POSTGRES, ComponentName.STORE, ComponentName.CLICKHOUSE)


@dataclass(slots=True, kw_only=True)
class Costs:
    """What the measured batches of one stream took, one value for each batch; seconds."""

    commit_cpu: list[float] = field(default_factory=list)
    commit_wall: list[float] = field(default_factory=list)
    whole_cpu: list[float] = field(default_factory=list)
    whole_wall: list[float] = field(default_factory=list)
    servers: dict[str, float] = field(default_factory=dict)
    traffic: StoreTraffic = field(default_factory=StoreTraffic)

    def figures(self) -> dict[str, float]:
        """Return means for one batch, by name: milliseconds, files and bytes; the dearest commit besides."""
        batches = len(self.whole_cpu)
        return {
            "commit, CPU ms": statistics.mean(self.commit_cpu) * 1000,
            "commit, dearest, CPU ms": max(self.commit_cpu) * 1000,
            "commit, wall ms": statistics.mean(self.commit_wall) * 1000,
            "whole, icehaul's CPU ms": statistics.mean(self.whole_cpu) * 1000,
            "whole, wall ms": statistics.mean(self.whole_wall) * 1000,
            **{f"whole, {name}'s CPU ms": seconds * 1000 / batches for name, seconds in self.servers.items()},
            **{name: value / batches for name, value in self.traffic.figures().items()},
        }


class Bench:
    """A consumer with two streams of different age."""

    def __init__(self, platform: LocalPlatform, application: Application, stack: EmbeddedStack, rows: int) -> None:
        self._platform = platform
        self._application = application
        self._groups = {one.value: stack.pid(one) for one in _SERVERS}
        self._rows = rows
        self._insert = files("tests.bench").joinpath("history.sql").read_text(encoding="utf-8")
        self._reached = dict.fromkeys((_OLD_STREAM, _YOUNG_STREAM), _TODAY)
        self.costs = {table: Costs() for table in (_OLD_STREAM, _YOUNG_STREAM)}

    def fill(self, snapshots: int, said: Callable[[str], None]) -> None:
        """Give one stream so many batches of the past, whole days and ten, and the other ten."""
        days = (snapshots - YOUNG) // _PER_DAY
        for number in range(days):
            lower = _TODAY - _DAY * (days - number)
            started = time.perf_counter()
            self._arrive(_OLD_STREAM, lower, _DAY)
            self._tick(_OLD_STREAM, lower + _DAY)
            said(f"{(number + 1) * _PER_DAY:,} batches; the last {_PER_DAY} in {time.perf_counter() - started:.1f} s")
        for table in self.costs:
            for _ in range(YOUNG):
                self.step(table)

    def measure(self, batches: int) -> None:
        """Measure so many batches of each stream, in turn."""
        for _ in range(batches):
            for table, costs in self.costs.items():
                before = cpu_by_group(self._groups)
                with counting_store(costs.traffic), timing_commits(costs):
                    self.step(table, costs)
                for name, seconds in cpu_by_group(self._groups).items():
                    costs.servers[name] = costs.servers.get(name, 0.0) + seconds - before[name]

    def step(self, table: str, costs: Costs | None = None) -> None:
        """Let the rows of the next window arrive, and offload them; only the latter is measured."""
        lower = self._reached[table]
        self._arrive(table, lower, _WINDOW)
        cpu, wall = time.process_time(), time.perf_counter()
        self._tick(table, lower + _WINDOW)
        if costs is not None:
            costs.whole_cpu.append(time.process_time() - cpu)
            costs.whole_wall.append(time.perf_counter() - wall)
        self._reached[table] = lower + _WINDOW

    def past(self, table: str) -> dict[str, int]:
        """Return what a stream's table has gathered."""
        catalog, stream = self._application.catalog, self._application.streams[self._stream(table)]
        base = catalog._bases.load(stream.target)
        assert base is not None
        snapshot = base.metadata.current_snapshot()
        assert snapshot is not None
        return {
            "snapshots ever": snapshot.sequence_number or 0,
            "snapshots kept": len(base.metadata.snapshots),
            "manifests": len(snapshot.manifests(catalog._io)),
            "bytes of metadata": len(base.metadata.model_dump_json()),
        }

    def _stream(self, table: str) -> str:
        return f"{self._platform.name}_{table}"

    def _arrive(self, table: str, lower: datetime, span: timedelta) -> None:
        self._platform.client.command(
            self._insert,
            parameters={
                "database": self._platform.name,
                "table": table,
                "lower": lower.strftime("%Y-%m-%d %H:%M:%S"),
                "span_us": span // timedelta(microseconds=1),
                "rows": self._rows * (span // _WINDOW),
            },
        )

    def _tick(self, table: str, cutoff: datetime) -> None:
        raised = offload(self._application, self._stream(table), cutoff)
        assert not raised, raised


@contextmanager
def timing_commits(costs: Costs) -> Iterator[None]:
    """Note what each publish takes."""
    publish = IcebergCatalog.publish

    def timed(self: IcebergCatalog, publication: object) -> int:
        cpu, wall = time.process_time(), time.perf_counter()
        snapshot_id = publish(self, publication)  # type: ignore[arg-type]  # passed on as it came
        costs.commit_cpu.append(time.process_time() - cpu)
        costs.commit_wall.append(time.perf_counter() - wall)
        return snapshot_id

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IcebergCatalog, "publish", timed)
        yield


@contextmanager
def running(scratch: Path, rows: int, retain: int | None) -> Iterator[Bench]:
    """Servers, and a consumer with both streams."""
    settings: dict[str, Any] = {"batch": {"rows": rows}}
    if retain is not None:
        settings["retain_snapshots"] = retain
    with (
        EmbeddedStack.start(scratch / "stack") as stack,
        pytest.MonkeyPatch.context() as patch,
        ledger_database(stack.endpoints, "history") as dsn,
        local_platform(stack.endpoints, "history", dsn, scratch, patch) as platform,
    ):
        for table in (_OLD_STREAM, _YOUNG_STREAM):
            platform.add_stream(table, **settings)
        with platform.consumer() as application:
            yield Bench(platform, application, stack, rows)


def ratios(old: Mapping[str, float], young: Mapping[str, float]) -> dict[str, float]:
    """Return the old stream's figures in those of the young one, where that has any."""
    return {name: old[name] / young[name] for name in old if young.get(name)}


def show(console: Console, bench: Bench) -> dict[str, dict[str, float]]:
    """Print what was found, and return it."""
    found = {table: costs.figures() for table, costs in bench.costs.items()}
    divided = ratios(found[_OLD_STREAM], found[_YOUNG_STREAM])
    table = Table(title="one batch, on average")
    for heading in ("", "old", "young", "ratio"):
        table.add_column(heading, justify="left" if not heading else "right", no_wrap=True)
    for name, value in found[_OLD_STREAM].items():
        ratio = f"{divided[name]:.2f}" if name in divided else ""
        table.add_row(name, f"{value:,.1f}", f"{found[_YOUNG_STREAM][name]:,.1f}", ratio)
    console.print(table)
    return {**found, "ratio": divided}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 if a batch of the old stream costs more than it may."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.history", description=__doc__)
    parser.add_argument("--snapshots", type=int, default=200, help="that the old stream has behind it, at most")
    parser.add_argument("--batches", type=int, default=40, help="that are measured of each stream")
    parser.add_argument("--rows", type=int, default=20, help="of one batch")
    parser.add_argument("--retain", type=int, help="retain_snapshots of both streams, instead of the default")
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="where the report goes")
    options = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console(width=200)
    console.print(f"$ python -m tests.bench.history {' '.join(sys.argv[1:] if arguments is None else arguments)}")
    console.print(describe_machine())
    with (
        tempfile.TemporaryDirectory(prefix="icehaul-bench-") as scratch,
        running(Path(scratch), options.rows, options.retain) as bench,
    ):
        bench.fill(options.snapshots, console.print)
        before = {table: bench.past(table) for table in bench.costs}
        bench.measure(options.batches)
        for table, past in before.items():
            console.print(f"{table}, before: {', '.join(f'{value:,} {name}' for name, value in past.items())}")
        found = show(console, bench)
    options.out.mkdir(parents=True, exist_ok=True)
    report = {"machine": describe_machine(), "past": before, **found}
    (options.out / "history.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    dearest = max(found["ratio"][name] for name in JUDGED)
    console.print(f"old divided by young: {dearest:.2f}; may be {LIMIT}")
    return 1 if dearest > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
