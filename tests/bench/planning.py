"""The planner's own cost on a simulated catalogue: ``python -m tests.bench.planning``.

A small catalogue and one of 1,000 streams with 100,000 partitions each on 100 shards, in the same run; no server takes
part, so that the figures are the planner's alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING
from consumer.ports import StreamRecord
from consumer.service.plan import Identity, Planner
from consumer.testing.ledger import MemoryLedger
from tests.bench.catalogue import END, SimulatedCatalogue, Size

SMALL = Size(streams=10, days=100, shards=10)
LARGE = Size(streams=1_000, days=1_000, shards=100)
IDENTITY = Identity(source_uuid=UUID(int=1), target_uuid=UUID(int=2), generation=1)
_TICK = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the planner took: CPU seconds, questions to the source, partitions and buckets that it was given."""

    seconds: float
    questions: int
    given: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a catalogue costs: a tick and the first batch of every stream, and the whole backlog of one."""

    size: Size
    ticks: Cost
    first_batches: Cost
    backlog: Cost


def measure(size: Size) -> Costs:
    """Plan over a catalogue of this size."""
    source = SimulatedCatalogue(size)
    planner = Planner(source, MemoryLedger())
    streams = list(source.streams())

    def tick() -> None:
        for stream in streams:
            list(planner.batches(stream, record(stream, ago=_TICK), IDENTITY, END))

    def first_batches() -> None:
        for stream in streams:
            next(planner.batches(stream, record(stream), IDENTITY, END))

    def backlog() -> None:
        batches = sum(1 for _ in planner.batches(streams[0], record(streams[0]), IDENTITY, END))
        assert batches == -(-size.days // 2)

    return Costs(
        size=size,
        ticks=_cost(source, tick),
        first_batches=_cost(source, first_batches),
        backlog=_cost(source, backlog),
    )


def record(stream: Stream, ago: timedelta | None = None) -> StreamRecord:
    """Return the record of a stream that has been read up to some time ago, or not at all."""
    return StreamRecord.unseen(stream.name, END, BEGINNING if ago is None else END - ago)


def _cost(source: SimulatedCatalogue, work: Callable[[], None]) -> Cost:
    source.questions = source.given = 0
    began = time.process_time()
    work()
    return Cost(seconds=time.process_time() - began, questions=source.questions, given=source.given)


def report(small: Costs, large: Costs) -> str:
    """Return the costs of both, and how many times as much the large one takes for each stream and partition."""
    lines = [
        f"small: {small.size}",
        f"large: {large.size}",
        "",
        "| CPU µs | small | large | ratio |",
        "|---|---|---|---|",
    ]
    rows: list[tuple[str, Callable[[Costs], float]]] = [
        ("a tick, for each stream", lambda one: one.ticks.seconds / one.size.streams),
        ("the first batch of a backlog, for each stream", lambda one: one.first_batches.seconds / one.size.streams),
        ("a whole backlog, for each partition", lambda one: one.backlog.seconds / one.size.partitions),
    ]
    for name, of in rows:
        lines.append(f"| {name} | {of(small) * 1e6:,.1f} | {of(large) * 1e6:,.1f} | {of(large) / of(small):.2f} |")
    whole = large.backlog
    lines += [
        "",
        f"a round of ticks for all streams of the large one: {large.ticks.seconds:.3f} CPU s",
        f"the whole backlog of one of its tables: {whole.seconds:.3f} CPU s",
        f"for which it asked {whole.questions:,} times, and looked at {whole.given:,} partitions",
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure both catalogues, and print them side by side."""
    measure(SMALL)  # what Python does once only is nobody's cost
    sys.stdout.write(report(measure(SMALL), measure(LARGE)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
