"""What icehaul's work costs, as a sum of parts: so much for each row, unit, batch and commit. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PARTS = ("row", "unit", "batch", "commit")
_DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How much was done: rows offloaded, files written, batches published, events whose offset was committed."""

    rows: int
    units: int
    batches: int
    commits: int

    def vector(self) -> NDArray[np.float64]:
        """Return the amounts in the order of :data:`PARTS`."""
        return np.array([self.rows, self.units, self.batches, self.commits], dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A run: its work, and the seconds that it took, by what they are seconds of (``wall``, or CPU of a program)."""

    name: str
    work: Work
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CostModel:
    """Seconds for each part of the work, by what they are seconds of."""

    costs: Mapping[str, tuple[float, ...]]

    def predict(self, kind: str, work: Work) -> float:
        """Return the seconds that some work takes."""
        return float(work.vector() @ np.array(self.costs[kind]))


def fit(samples: Sequence[Sample]) -> CostModel:
    """Return the costs with the least sum of squared relative errors; none is negative.

    Relative, so that runs of some milliseconds count as much as those of many seconds.
    """
    amounts = np.array([sample.work.vector() for sample in samples])
    return CostModel(
        {
            kind: _least_squares(amounts, np.array([sample.seconds[kind] for sample in samples]))
            for kind in samples[0].seconds
        }
    )


def _least_squares(amounts: NDArray[np.float64], seconds: NDArray[np.float64]) -> tuple[float, ...]:
    # Clocks tick in hundredths of a second: what took none is no reason to trust a run without end.
    weights = 1 / np.maximum(seconds, 0.02)
    costs = np.zeros(amounts.shape[1])
    kept = list(range(amounts.shape[1]))
    while kept:
        found, *_ = np.linalg.lstsq(amounts[:, kept] * weights[:, None], seconds * weights, rcond=None)
        if found.min() >= 0:
            costs[kept] = found
            break
        # A part whose cost can't be told from nothing has none; the others then account for it.
        del kept[int(found.argmin())]
    return tuple(map(float, costs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a day's rows arrive: streams, events of each in a day, and the bounds of batches and units in rows."""

    rows: int
    streams: int
    events: int
    batch_rows: int = 5_000_000
    unit_rows: int = 2_000_000

    def work(self) -> Work:
        """Return the day's work where rows are spread evenly over streams and events."""
        commits = self.streams * self.events
        of_event = self.rows / commits
        batches = math.ceil(of_event / self.batch_rows)
        units = batches * math.ceil(of_event / batches / self.unit_rows)
        return Work(rows=self.rows, units=commits * units, batches=commits * batches, commits=commits)


def cores(model: CostModel, kind: str, work: Work) -> float:
    """Return how many cores a day's work keeps busy all day."""
    return model.predict(kind, work) / _DAY_S
