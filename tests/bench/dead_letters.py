"""What a dead-lettered event costs, beside a valid event of an up-to-date stream: ``make bench-dead-letters``.

One consumer process, one partition. *Handled* is the consumer's own span from the worker that takes a message to the
acknowledged letter, or to the end of an event with nothing to do; *in a row* is the time from sending many of one kind
to the committed offset of the last, divided by their number.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka import Producer
from rich.console import Console

from consumer.adapters.kafka.codec import encode
from consumer.adapters.telemetry.trace_tree import read_spans
from consumer.bootstrap import Application
from consumer.demo.group import Group
from consumer.domain.event_factory import tick
from consumer.embedded.stack import EmbeddedStack
from tests.bench.report import percentile
from tests.support.machine import describe_machine
from tests.support.platform import Platform, day
from tests.support.processes import icehaul
from tests.support.waiting import wait_until

LIMIT_MS = 10.0
"""What a dead-lettered event may cost at most, on average."""

_WARM_UP = 20
_BOUNDARY = day("2024-01-02")
_HEADERS = {"content-type": b"application/cloudevents+json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Milliseconds of one event."""

    mean: float
    p50: float
    p99: float
    in_a_row: float


class Bench:
    """A running consumer with one up-to-date stream."""

    def __init__(self, application: Application, stream: str, trace_file: Path) -> None:
        self._kafka = application.configuration.kafka
        self._stream = stream
        self._trace_file = trace_file
        self._group = Group(
            bootstrap_servers=self._kafka.bootstrap_servers, group=self._kafka.group, topic=self._kafka.topic
        )
        self._producer = Producer(
            {"bootstrap.servers": self._kafka.bootstrap_servers, "linger.ms": 0, "log_level": 0},
        )
        self._sent = 0

    def letters(self, count: int) -> Cost:
        """Return the cost of messages that are no events."""
        bodies = [f'{{"specversion": "1.0", "id": "letter-{number}"'.encode() for number in range(count)]
        return self._cost(bodies, _HEADERS)

    def events(self, count: int) -> Cost:
        """Return the cost of events with nothing to do.

        One asks for more than the one before, so that none is covered by another; the stream ends before all of them.
        """
        encoded = [
            encode(tick(stream=self._stream, boundary=_BOUNDARY + timedelta(seconds=number))) for number in range(count)
        ]
        return self._cost([one.value for one in encoded], None, [dict(one.headers) for one in encoded])

    def settle(self) -> None:
        """Wait until everything that was sent is committed."""
        wait_until(lambda: self._group.behind() == 0, seconds=300, what="the group to be up to date")

    def close(self) -> None:
        """Close the connections."""
        self._group.close()

    def _cost(
        self, bodies: Sequence[bytes], headers: dict[str, bytes] | None, each: Sequence[dict[str, bytes]] = ()
    ) -> Cost:
        first = self._sent
        started = time.perf_counter()
        for number, body in enumerate(bodies):
            self._producer.produce(
                self._kafka.topic, key=self._stream, value=body, headers=dict(each[number] if each else headers or {})
            )
            self._producer.poll(0)
        self._producer.flush(60)
        self._sent += len(bodies)
        self.settle()
        seconds = time.perf_counter() - started
        handled = self._handled(range(first, self._sent))
        return Cost(
            mean=statistics.mean(handled),
            p50=percentile(handled, 50),
            p99=percentile(handled, 99),
            in_a_row=seconds * 1000 / len(bodies),
        )

    def _handled(self, offsets: range) -> list[float]:
        """Return how long each message took, by the consumer's own spans; they are exported every second."""

        def found() -> list[float]:
            return [
                (span.ended_ns - span.started_ns) / 1e6
                for span in read_spans([self._trace_file])
                if span.name.startswith("process ") and span.attributes["messaging.kafka.offset"] in offsets
            ]

        wait_until(lambda: len(found()) == len(offsets), seconds=60, what="the spans of all messages")
        return found()


@contextmanager
def _running(scratch: Path) -> Iterator[Bench]:
    trace_file = scratch / "traces.jsonl"
    with EmbeddedStack.start(scratch / "stack") as stack, pytest.MonkeyPatch.context() as patch:
        platform = Platform(stack.endpoints, "letters", scratch)
        for name, value in platform.environment().items():
            patch.setenv(name, value)
        platform.sections = {"kafka": {"partitions": 1}, "telemetry": {"trace_file": str(trace_file)}}
        stream = platform.add_stream()
        config = str(platform.write())
        with Application(platform.configuration(), environment={}) as application:
            application.migrate()
            application.topics.ensure()
            with icehaul("run", "-c", config, log=scratch / "run.log", environment=platform.environment()) as consumer:
                consumer.http_port()
                bench = Bench(application, stream, trace_file)
                yield bench
                bench.close()
                consumer.terminate()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print both; return 1 if a dead letter costs more than it may."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.dead_letters", description=__doc__)
    parser.add_argument("--events", type=int, default=500, help="of each kind")
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="where the report goes")
    options = parser.parse_args(arguments)
    console = Console(width=200)
    console.print(f"$ python -m tests.bench.dead_letters {' '.join(sys.argv[1:] if arguments is None else arguments)}")
    console.print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="icehaul-bench-") as scratch, _running(Path(scratch)) as bench:
        bench.letters(_WARM_UP)
        bench.events(_WARM_UP)
        costs = {"dead-lettered": bench.letters(options.events), "valid, nothing to do": bench.events(options.events)}
    for name, cost in costs.items():
        console.print(
            f"{name}: handled in {cost.mean:.2f} ms (p50 {cost.p50:.2f}, p99 {cost.p99:.2f});"
            f" {options.events} in a row {cost.in_a_row:.2f} ms each"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    report = {
        "machine": describe_machine(),
        "events": options.events,
        **{name: asdict(one) for name, one in costs.items()},
    }
    (options.out / "dead_letters.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 1 if max(costs["dead-lettered"].mean, costs["dead-lettered"].in_a_row) > LIMIT_MS else 0


if __name__ == "__main__":
    sys.exit(main())
