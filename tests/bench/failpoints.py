"""What the failpoints cost where none is armed: passes of one batch times the cost of a pass."""

from __future__ import annotations

import threading
import timeit
from dataclasses import dataclass
from datetime import timedelta

from consumer.domain.event_factory import tick
from consumer.failpoints.acting import Failpoints
from tests.unit.service.test_offload import NOW, World, make_stream, rows

_PASSES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FailpointCost:
    """How many effects one batch passes, and what passing one costs in microseconds."""

    effects: int
    microseconds: float

    def share_of(self, milliseconds: float) -> float:
        """Return the percentage of a batch that takes so long."""
        return self.effects * self.microseconds / (milliseconds * 1000) * 100


class _Counting(Failpoints):
    """Counts the points that are passed."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0

    def hit(self, point: str) -> None:
        self.passed += 1
        super().hit(point)


def failpoint_cost() -> FailpointCost:
    """Measure both with the service's own code, on servers in memory."""
    world = World({"trades": make_stream()})
    world.source.insert(world.streams["trades"].source, rows(2))
    counting = _Counting()
    world.failpoints = counting
    world.offload().handle(tick(stream="trades", boundary=NOW + timedelta(days=1)), threading.Event())
    unarmed = Failpoints()

    def one() -> None:
        with unarmed.around("batch.begin"):
            pass

    seconds = min(timeit.repeat(one, number=_PASSES, repeat=3)) / _PASSES
    return FailpointCost(effects=counting.passed // 2, microseconds=seconds * 1e6)
