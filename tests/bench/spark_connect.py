"""A small batch with a driver of one's own and on a Spark Connect server, taken by turns: ``make bench-connect``."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from consumer.adapters.spark.engine import SparkEngine
from consumer.embedded.stack import EmbeddedStack
from consumer.settings.connections import SparkSettings
from tests.support.spark import HotTable, clickhouse_settings, remote_engine, store_settings
from tests.support.spark_connect_server import running_connect_server

_WARM = 5
_TURNS = 40
_ROWS = 1000


def main() -> None:
    """Print medians in seconds, and the ratio between both, for batches of one and of two units."""
    with tempfile.TemporaryDirectory() as directory:
        stack = EmbeddedStack.start(Path(directory) / "stack")
        with stack, running_connect_server(Path(directory) / "spark") as server:
            table = HotTable.numbered(stack.endpoints, _ROWS)
            own = SparkEngine(SparkSettings(), clickhouse_settings(stack.endpoints), store_settings(stack.endpoints))
            shared = remote_engine(stack.endpoints, server.url)
            for engine in (own, shared):
                started = time.perf_counter()
                engine.start()
                _say(f"{engine._settings.place}: ready after {time.perf_counter() - started:.1f} s")
            for bounds in ((0, _ROWS), (0, _ROWS // 2, _ROWS)):
                _compare(table, own, shared, bounds)
            for engine in (own, shared):
                engine.stop()


def _compare(table: HotTable, own: SparkEngine, shared: SparkEngine, bounds: tuple[int, ...]) -> None:
    seconds: dict[SparkEngine, list[float]] = {own: [], shared: []}
    for turn in range(_WARM + _TURNS):
        for engine, taken in seconds.items():
            started = time.perf_counter()
            table.write(engine, table.batch(*bounds))
            if turn >= _WARM:
                taken.append(time.perf_counter() - started)
    medians = {engine: statistics.median(taken) for engine, taken in seconds.items()}
    _say(
        f"{len(bounds) - 1} unit(s), medians of {_TURNS}: driver of its own {medians[own]:.3f} s, Spark Connect"
        f" {medians[shared]:.3f} s, ratio {medians[shared] / medians[own]:.2f}"
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
