"""What traces cost: the same batches by a consumer without them and by one with: ``python -m tests.bench.tracing``.

Both consumers run on the same servers and take turns. Beside that the cost is counted: spans of a batch times the CPU
time of a span (made, scrubbed, encoded and sent), which no neighbour on the machine disturbs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from opentelemetry import trace
from rich.console import Console

from consumer.adapters.telemetry.sql_spans import Server, System, sql_span
from consumer.adapters.telemetry.sql_summary import summarize_fixed
from consumer.adapters.telemetry.trace_tree import read_spans
from consumer.adapters.telemetry.tracing import Tracing
from consumer.embedded.stack import EmbeddedStack
from consumer.settings.connections import TelemetrySettings
from tests.bench.icehaul_path import Icehaul, running_icehaul
from tests.bench.measure import Measurement
from tests.bench.otlp_sink import otlp_sink
from tests.bench.report import percentile
from tests.bench.trades import TABLE
from tests.bench.turns import contending_bench, take_turns
from tests.support.machine import describe_machine

LIMIT = 0.01
"""Share of a batch that its spans may take."""
_SPANS = 20_000
_STEP = 20
"""Statements below one step while a span's cost is measured."""
_SERVER = Server(system=System.POSTGRESQL, address="127.0.0.1", port=5432, namespace="icehaul")
_STATEMENT = b"SELECT stream, watermark FROM offload_watermarks WHERE stream = %(stream)s FOR UPDATE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Spans of a batch, CPU microseconds of a span, and both together as a share of the time of the fastest batch."""

    spans: int
    microseconds: float
    share: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 if the spans take more of a batch than they may."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tracing", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="trades of one batch")
    parser.add_argument("--rounds", type=int, default=4, help="measured batches of each consumer, after one to warm up")
    parser.add_argument("--ticks", type=int, default=30, help="small ticks of each consumer")
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="where the report and logs go")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=200)
    console.print(f"$ python -m tests.bench.tracing {' '.join(sys.argv[1:] if arguments is None else arguments)}")
    console.print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="icehaul-bench-") as scratch, ExitStack() as resources:
        trace_file = Path(scratch) / "traces.jsonl"
        consumers = _consumers(resources, Path(scratch), trace_file, options)
        rounds = take_turns(consumers, options.rows, options.rounds)
        small = {name: percentile(one.latencies(options.ticks).small, 50) for name, one in consumers.items()}
        sink = resources.enter_context(otlp_sink())
        cost = _cost(trace_file, options.rounds, sink, min(one.seconds for one in rounds["without"]))
    _show(console, rounds, small, cost)
    report = {
        "machine": describe_machine(),
        "rounds": {name: [asdict(one) for one in measured] for name, measured in rounds.items()},
        "small_tick_p50_ms": small,
        "cost": asdict(cost),
    }
    (options.out / "tracing.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 1 if cost.share > LIMIT else 0


def _consumers(
    resources: ExitStack, scratch: Path, trace_file: Path, options: argparse.Namespace
) -> Mapping[str, Icehaul]:
    """Start the consumer without traces, and the one that sends them and keeps them to be counted."""
    stack = resources.enter_context(EmbeddedStack.start(scratch / "stack"))
    sink = resources.enter_context(otlp_sink())
    telemetry: Mapping[str, Mapping[str, str]] = {
        "without": {},
        "with": {"otlp_endpoint": sink, "trace_file": str(trace_file)},
    }
    consumers: dict[str, Icehaul] = {}
    for name, section in telemetry.items():
        bench = contending_bench(stack, name, scratch, options.rows, telemetry=section)
        log = options.out / f"tracing-{name}.log"
        consumers[name] = resources.enter_context(running_icehaul(bench, options.rounds, log, f"{name}_"))
    return consumers


def _cost(trace_file: Path, rounds: int, endpoint: str, seconds: float) -> Cost:
    spans = read_spans([trace_file])
    last = next(span for span in reversed(spans) if span.attributes.get("offload.stream") == f"with_{TABLE}_{rounds}")
    number = sum(span.trace_id == last.trace_id for span in spans)
    microseconds = _cpu_of_a_span(endpoint) * 1e6
    return Cost(spans=number, microseconds=microseconds, share=number * microseconds / 1e6 / seconds)


def _cpu_of_a_span(endpoint: str) -> float:
    """Return the CPU seconds of this process, its exporter's thread included, for one statement's span."""
    tracing = Tracing(TelemetrySettings(otlp_endpoint=endpoint), role="bench")
    tracing.install()
    seconds = []
    for _ in range(3):
        started = time.process_time()
        for _ in _steps(_SPANS // _STEP):
            for _ in range(_STEP - 1):
                with sql_span(lambda: _SERVER, lambda: summarize_fixed(_STATEMENT), lambda _: None):
                    pass
        tracing.flush()
        seconds.append((time.process_time() - started) / _SPANS)
    tracing.shutdown()
    return min(seconds)


def _steps(number: int) -> Iterator[int]:
    """Open one step after the other, with a pause for the exporter before its queue overflows."""
    tracer = trace.get_tracer("bench")
    for one in range(number):
        with tracer.start_as_current_span("offload.plan"):
            yield one
        if one % 50 == 0:
            trace.get_tracer_provider().force_flush()  # type: ignore[attr-defined]


def _show(
    console: Console, rounds: Mapping[str, Sequence[Measurement]], small: Mapping[str, float], cost: Cost
) -> None:
    for name, measured in rounds.items():
        speeds = [one.rows_per_second for one in measured]
        console.print(
            f"{name} traces: {max(speeds):,.0f} rows/s at best, {statistics.median(speeds):,.0f} in the middle of"
            f" {len(speeds)}; {statistics.median(one.cpu['icehaul'] for one in measured):.2f} CPU s of icehaul;"
            f" a small tick {small[name]:.0f} ms (p50)"
        )
    best = {name: max(one.rows_per_second for one in measured) for name, measured in rounds.items()}
    pairs = zip(rounds["with"], rounds["without"], strict=True)
    middle = statistics.median(one.rows_per_second / other.rows_per_second for one, other in pairs)
    console.print(
        f"throughput with to without: {best['with'] / best['without']:.3f} of the best,"
        f" {middle:.3f} in the middle of the rounds; it says little where others use the machine"
    )
    console.print(
        f"counted: {cost.spans} spans of a batch at {cost.microseconds:.0f} µs of CPU each:"
        f" {cost.share:.2%} of its time"
    )


if __name__ == "__main__":
    sys.exit(main())
