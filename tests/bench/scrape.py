"""What a scrape costs with many streams: ``make bench-scrape``.

The metrics hold every series that a consumer has of each stream after batches, events, retries, late rows and audits;
what is measured is the rendering of the answer, in both formats that Prometheus asks for.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from consumer.adapters.telemetry.metrics import PrometheusMetrics
from consumer.domain.audit import CheckName
from consumer.domain.table_size import TableSize
from tests.support.machine import describe_machine

LIMIT_MS = 50.0
"""What a scrape of 1,000 streams may take."""

_FORMATS = {"text": "text/plain;version=0.0.4", "OpenMetrics": "application/openmetrics-text;version=1.0.0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Milliseconds of one scrape, and what it returned."""

    p50: float
    worst: float
    series: int
    bytes: int


def filled(streams: int) -> PrometheusMetrics:
    """Return the metrics of a consumer that has seen everything of each stream."""
    names = [f"market_trades_{number:04}" for number in range(streams)]
    metrics = PrometheusMetrics(names)
    metrics.begin("consumer", "bench")
    for number, name in enumerate(names):
        metrics.lease(name)
        metrics.state(name, halted=False)
        metrics.watermark(name, datetime(2026, 1, 1, tzinfo=UTC), timedelta(seconds=300 + number))
        metrics.time_to_loss(name, 86_400.0)
        metrics.table(name, TableSize(files=100, bytes=10**9, small_files=number % 100))
        metrics.audited(name)
        for check in CheckName:
            metrics.audit_check(name, check, failed=False)
        for kind in ("window", "supplement"):
            metrics.batch(name, kind, "published", rows=1_000, bytes=100_000, seconds=1.5)
        for outcome in ("offloaded", "idle"):
            metrics.event_handled(name, "icehaul.tick.v1", outcome)
        metrics.retry(name, "LeaseHeldError")
    return metrics


def measure(metrics: PrometheusMetrics, accept: str, repeats: int) -> Cost:
    """Render ``repeats`` times."""
    body, _ = metrics.render(accept)
    spans = []
    for _ in range(repeats):
        started = time.perf_counter()
        metrics.render(accept)
        spans.append((time.perf_counter() - started) * 1000)
    series = sum(not line.startswith(b"#") for line in body.splitlines())
    return Cost(p50=statistics.median(spans), worst=max(spans), series=series, bytes=len(body))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the figure is for people, so that a busy machine fails nothing."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scrape", description=__doc__)
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="where the report goes")
    options = parser.parse_args(arguments)
    console = Console(width=200)
    console.print(describe_machine())
    metrics = filled(options.streams)
    costs = {name: measure(metrics, accept, options.repeats) for name, accept in _FORMATS.items()}
    for name, cost in costs.items():
        console.print(
            f"scrape of {options.streams:,} streams as {name}: {cost.p50:.1f} ms (worst {cost.worst:.1f}),"
            f" {cost.series:,} series, {cost.bytes:,} bytes; may take {LIMIT_MS:.0f} ms"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    report = {name: asdict(cost) for name, cost in costs.items()}
    (options.out / "scrape.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
