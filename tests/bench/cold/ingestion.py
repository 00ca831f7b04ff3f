"""What maintenance costs ingestion: the same batches by a consumer that maintains its tables and by one that does not.

Both run on the same servers and take turns, day by day. Once a day is over, the one that maintains puts its files
together while the ticks of the next one come: each row is written once, and put together once, which is what a table
asks for that grows for ever. Its turn is over when nothing is left to put together.
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
from consumer.domain.maintenance import TaskName
from consumer.embedded.component import ComponentName
from consumer.embedded.stack import EmbeddedStack
from tests.bench.cold.filling import Shape, add_stream, create_source
from tests.bench.icehaul_path import Icehaul
from tests.bench.measure import cpu_by_group
from tests.bench.paths import Bench
from tests.bench.trades import fill
from tests.support.platform import Platform
from tests.support.processes import icehaul
from tests.support.waiting import wait_for, wait_until

SLOWER = 0.10
"""By how much maintenance may slow ingestion, at most."""
TICKS = 8
"""Ticks of a day; as many files of each stream become one when it is over."""
_STREAMS = 4
_PAUSE_S = 5.0
"""Between the last offset of a tick and the next tick, where they are paced."""
_DEADLINE_S = 300.0
_MAINTAINED = {"enabled": True, "every": "1s"}
WITH, WITHOUT = "maintained", "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day of ticks of all streams: seconds until all rows are published, seconds and CPU until nothing is left to do.

    ``published`` leaves the pauses between ticks out.
    """

    published: float
    over: float
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowdown:
    """What maintenance adds.

    Attributes:
        paced: to the time until batches are published where some seconds pass between a tick and the next one.
        back_to_back: to the time of a day's ticks, each of which is sent when the last one is published.
        pieces: compactions that ran beside them.
    """

    paced: float
    back_to_back: float
    pieces: int


class Side:
    """A running consumer with streams over the same rows."""

    def __init__(
        self, bench: Bench, application: Application, consumer: Icehaul, streams: Sequence[str], *, maintained: bool
    ) -> None:
        self._bench = bench
        self._application = application
        self._consumer = consumer
        self._streams = streams
        self._maintained = maintained
        self._sent = 0

    def day(self, boundaries: Sequence[datetime], pause: float | None) -> Day:
        """Measure the ticks of a day, with pauses after each of them or back to back, until nothing is left to do."""
        groups = self._bench.groups(*ComponentName, icehaul=self._consumer.pid)
        before, started = cpu_by_group(groups), time.perf_counter()
        published = 0.0
        for boundary in boundaries:
            sent = time.perf_counter()
            self._send(boundary)
            self._wait_published(boundary)
            published += time.perf_counter() - sent
            if pause is not None:
                self._wait_committed()
                time.sleep(pause)
        self._wait_committed()
        self._wait_maintained()
        over = time.perf_counter() - started
        cpu = sum(cpu_by_group(groups).values()) - sum(before.values())
        return Day(published=published, over=over, cpu=cpu)

    def pieces(self) -> int:
        """Return how many compactions were published."""
        return sum(
            batch.kind is BatchKind.MAINTENANCE and batch.status is BatchStatus.PUBLISHED
            for stream in self._streams
            for batch in self._application.ledger.batches(stream, 10_000)
        )

    def _send(self, boundary: datetime) -> None:
        self._application.event_sink.send([tick(stream=stream, boundary=boundary) for stream in self._streams])
        self._sent += len(self._streams)

    def _wait_published(self, boundary: datetime) -> None:
        def reached() -> bool:
            records = self._application.ledger.read(list(self._streams))
            # A stream is registered by its first event.
            return all(stream in records and records[stream].watermark >= boundary for stream in self._streams)

        wait_for(reached, _DEADLINE_S, f"the watermark {boundary} of {self._streams}")

    def _wait_committed(self) -> None:
        wait_for(lambda: self._consumer.committed() >= self._sent, _DEADLINE_S, f"offset {self._sent}")

    def _wait_maintained(self) -> None:
        """Wait until the files of every day that is over have been put together."""
        if not self._maintained:
            return

        def done() -> bool:
            found = (
                plan
                for stream in self._streams
                for plan in self._application.maintenance.review(
                    self._application.streams[stream], [TaskName.COMPACTION]
                )
            )
            return not any(plan.parts for plan in found)

        wait_for(done, _DEADLINE_S, f"compaction of {self._streams}")


def measure_slowdown(
    stack: EmbeddedStack, scratch: Path, out: Path, rows: int, rounds: int, said: Callable[[str], None]
) -> tuple[Slowdown, Mapping[str, object]]:
    """Measure as many pairs of days of either kind; ``rows`` are those of one stream and tick.

    Returns:
        what maintenance adds, and every single figure.
    """
    # The files of the first day are what the second one's ticks come beside.
    shape = Shape(days=1 + 2 * rounds, rows=rows * TICKS, ticks=TICKS)
    with ExitStack() as resources:
        sides = {
            name: resources.enter_context(_side(stack, name, shape, scratch, out / f"cold-{name}.log"))
            for name in (WITH, WITHOUT)
        }
        said(f"{_STREAMS} streams of {shape.days} days with {TICKS} ticks of {rows:,} rows …")
        found: dict[str, dict[str, list[Day]]] = {"paced": _no_days(), "back to back": _no_days()}
        for number, midnight in enumerate(shape.midnights()):
            how, pause = ("paced", _PAUSE_S) if number % 2 else ("back to back", None)
            for name in sorted(sides, reverse=number % 4 < 2):
                one = sides[name].day(list(shape.boundaries(midnight)), pause)
                if number:
                    found[how][name].append(one)
                    said(f"{how}, {name}: published in {one.published:.1f} s, over after {one.over:.1f} s")
        slowdown = Slowdown(
            paced=_slowed(found["paced"]), back_to_back=_slowed(found["back to back"]), pieces=sides[WITH].pieces()
        )
    details = {
        how: {name: [asdict(one) for one in days] for name, days in sides.items()} for how, sides in found.items()
    }
    return slowdown, details


def added(seconds: Sequence[float], without: Sequence[float]) -> float:
    """Return what is added pair by pair, in the middle of the pairs."""
    return statistics.median(one / other for one, other in zip(seconds, without, strict=True)) - 1


def _no_days() -> dict[str, list[Day]]:
    return {WITH: [], WITHOUT: []}


def _slowed(days: Mapping[str, Sequence[Day]]) -> float:
    return added([one.published for one in days[WITH]], [one.published for one in days[WITHOUT]])


@contextmanager
def _side(stack: EmbeddedStack, name: str, shape: Shape, scratch: Path, log: Path) -> Iterator[Side]:
    """Start a consumer with all days of rows before it."""
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
    settings: dict[str, object] = {"maintenance": _MAINTAINED} if name == WITH else {}
    streams = [add_stream(platform, settings, f"trades_{number}") for number in range(_STREAMS)]
    config = platform.write()
    with Application(platform.configuration(), environment={}) as application:
        application.migrate()
        application.topics.ensure()
        with icehaul("run", "-c", str(config), log=log, environment=platform.environment()) as consumer:
            consumer.http_port()
            wait_until(lambda: "consumer.assigned" in consumer.text(), seconds=60, what="the assignment")
            bench = Bench(
                stack=stack, platform=platform, rows=shape.rows, cores=os.cpu_count() or 1, own_pid=os.getpid()
            )
            followed = Icehaul(bench, application, consumer, streams)
            yield Side(bench, application, followed, streams, maintained=name == WITH)
            consumer.terminate()
