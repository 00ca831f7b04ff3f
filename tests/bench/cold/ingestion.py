"""What maintenance costs ingestion: the same batches by a consumer that maintains its tables and by one that does not.

Both run on the same servers and take turns. The one that maintains compacts with each event as many rows as the event
has brought, which is what a table asks for that grows for ever: each row is written once, and put together once.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from consumer.bootstrap import Application
from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.event_factory import tick
from consumer.embedded.component import ComponentName
from consumer.embedded.stack import EmbeddedStack
from tests.bench.cold.filling import Shape, add_stream, create_source, exporting
from tests.bench.icehaul_path import Icehaul
from tests.bench.measure import cpu_by_group
from tests.bench.paths import Bench
from tests.bench.trades import fill
from tests.support.local_platform import offload
from tests.support.platform import Platform
from tests.support.processes import icehaul
from tests.support.waiting import wait_for, wait_until

SLOWER = 0.10
"""By how much maintenance may slow ingestion, at most."""
_STREAMS = 4
_FILES = 3
"""Small files of the past that become one with each event; of two, each would be half of what a file may hold."""
_DEADLINE_S = 300.0
_MAINTAINED = {
    # What is due stays due until it is done: one piece of it with each event.
    "enabled": True,
    "every": "1s",
    "compaction": {"batch_bytes": 1},
}
WITH, WITHOUT = "maintained", "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Ticks of all streams, sent at once: seconds until the last batch is published, until the last offset; CPU."""

    published: float
    committed: float
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowdown:
    """What maintenance adds.

    Attributes:
        paced: to the time until batches are published where each round begins when all of the last one is done.
        back_to_back: to the time of some rounds, each of which begins when the last one is published.
        pieces: compactions that ran beside them.
    """

    paced: float
    back_to_back: float
    pieces: int


class Side:
    """A running consumer with streams over the same rows."""

    def __init__(self, bench: Bench, application: Application, consumer: Icehaul, streams: Sequence[str]) -> None:
        self._bench = bench
        self._application = application
        self._consumer = consumer
        self._streams = streams
        self._sent = 0

    def send(self, boundary: datetime) -> None:
        """Send a tick of each stream."""
        self._application.event_sink.send([tick(stream=stream, boundary=boundary) for stream in self._streams])
        self._sent += len(self._streams)

    def wait_published(self, boundary: datetime) -> None:
        """Wait until every stream is offloaded up to there."""

        def reached() -> bool:
            records = self._application.ledger.read(list(self._streams))
            return all(records[stream].watermark >= boundary for stream in self._streams)

        wait_for(reached, _DEADLINE_S, f"the watermark {boundary} of {self._streams}")

    def wait_committed(self) -> None:
        """Wait until every event is done with, maintenance included."""
        wait_for(lambda: self._consumer.committed() >= self._sent, _DEADLINE_S, f"offset {self._sent}")

    def round(self, boundary: datetime) -> Round:
        """Measure a round, to its end."""
        groups = self._bench.groups(*ComponentName, icehaul=self._consumer.pid)
        before, started = cpu_by_group(groups), time.perf_counter()
        self.send(boundary)
        self.wait_published(boundary)
        published = time.perf_counter() - started
        self.wait_committed()
        committed = time.perf_counter() - started
        cpu = sum(cpu_by_group(groups).values()) - sum(before.values())
        return Round(published=published, committed=committed, cpu=cpu)

    def block(self, boundaries: Sequence[datetime]) -> float:
        """Return the seconds of rounds back to back, until the last batch is published; then wait for the rest."""
        started = time.perf_counter()
        for boundary in boundaries:
            self.send(boundary)
            self.wait_published(boundary)
        seconds = time.perf_counter() - started
        self.wait_committed()
        return seconds

    def pieces(self) -> int:
        """Return how many compactions were published."""
        return sum(
            batch.kind is BatchKind.MAINTENANCE and batch.status is BatchStatus.PUBLISHED
            for stream in self._streams
            for batch in self._application.ledger.batches(stream, 10_000)
        )


def measure_slowdown(
    stack: EmbeddedStack, scratch: Path, out: Path, rows: int, rounds: int, said: Callable[[str], None]
) -> tuple[Slowdown, Mapping[str, object]]:
    """Measure so many rounds in turn, and half as many blocks of two; ``rows`` are those of one stream and tick.

    Returns:
        what maintenance adds, and every single figure.
    """
    blocks = max(rounds // 2, 1)
    ticks = 1 + rounds + 2 * blocks
    shape = Shape(days=2, rows=rows * ticks, ticks=ticks)
    with ExitStack() as resources:
        sides = {
            name: resources.enter_context(_side(stack, name, shape, scratch, out / f"cold-{name}.log"))
            for name in (WITH, WITHOUT)
        }
        said(f"{_STREAMS} streams with {ticks * _FILES} small files each …")
        boundaries = iter(list(shape.boundaries(list(shape.midnights())[1])))
        found: dict[str, list[Round]] = {name: [] for name in sides}
        blocked: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(rounds + 1):
            boundary = next(boundaries)
            for name in sorted(sides, reverse=number % 2 == 0):
                one = sides[name].round(boundary)
                if number:
                    found[name].append(one)
        for number in range(blocks):
            pair = [next(boundaries), next(boundaries)]
            for name in sorted(sides, reverse=number % 2 == 0):
                blocked[name].append(sides[name].block(pair))
        slowdown = Slowdown(
            paced=added([one.published for one in found[WITH]], [one.published for one in found[WITHOUT]]),
            back_to_back=added(blocked[WITH], blocked[WITHOUT]),
            pieces=sides[WITH].pieces(),
        )
    details = {"rounds": {name: [asdict(one) for one in each] for name, each in found.items()}, "blocks": blocked}
    return slowdown, details


def added(seconds: Sequence[float], without: Sequence[float]) -> float:
    """Return what is added pair by pair, in the middle of the pairs."""
    return statistics.median(one / other for one, other in zip(seconds, without, strict=True)) - 1


@contextmanager
def _side(stack: EmbeddedStack, name: str, shape: Shape, scratch: Path, log: Path) -> Iterator[Side]:
    """Start a consumer whose streams have a day in small files behind them, or in one if they are not maintained."""
    platform = Platform(stack.endpoints, f"bench_{name}", scratch)
    os.environ.update(platform.environment())
    platform.sections |= {
        "kafka": {"partitions": 1},
        "store": {"prefix": f"bench/{name}"},
        "spark": {"master": f"local[{os.cpu_count()}]", "writer": "export"},
    }
    create_source(platform)
    for midnight in shape.midnights():
        fill(platform, shape.rows, day=midnight.date().isoformat(), merged=False)
    maintained = name == WITH
    settings: dict[str, object] = {"batch": {"unit_rows": shape.rows // shape.ticks}}
    streams = [add_stream(platform, settings, f"trades_{number}") for number in range(_STREAMS)]
    past = Shape(days=1, rows=shape.rows, ticks=shape.ticks * _FILES if maintained else 1)
    with exporting(platform) as application:
        for stream in streams:
            for boundary in past.boundaries(past.first):
                if raised := offload(application, stream, boundary):
                    raise raised[-1]
    for configured in platform.streams if maintained else ():
        configured["maintenance"] = _MAINTAINED
    config = platform.write()
    with Application(platform.configuration(), environment={}) as application:
        application.topics.ensure()
        with icehaul("run", "-c", str(config), log=log, environment=platform.environment()) as consumer:
            consumer.http_port()
            wait_until(lambda: "consumer.assigned" in consumer.text(), seconds=60, what="the assignment")
            bench = Bench(
                stack=stack, platform=platform, rows=shape.rows, cores=os.cpu_count() or 1, own_pid=os.getpid()
            )
            yield Side(bench, application, Icehaul(bench, application, consumer, streams), streams)
            consumer.terminate()
