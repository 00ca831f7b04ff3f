"""How late rows were: the steps of the histogram that supplements are counted in."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

LATENESS_STEPS: tuple[timedelta, ...] = (
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(days=1),
    timedelta(days=7),
    timedelta(days=30),
)
"""Upper bounds, inclusive; a last step takes what is later than all of them. A row's lateness is counted from its
timestamp to the moment when it was found below the watermark."""


def lateness_of(instants: Iterable[tuple[datetime, int]], *, found: datetime) -> tuple[int, ...]:
    """Return how many rows lie in each step.

    Args:
        instants: the timestamps of late rows, each with how many rows it stands for.
        found: when they were found.
    """
    counts = [0] * (len(LATENESS_STEPS) + 1)
    for instant, rows in instants:
        counts[bisect_left(LATENESS_STEPS, found - instant)] += rows
    return tuple(counts)


def add_lateness(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    """Add two histograms."""
    return tuple(first + second for first, second in zip(one, other, strict=True))


NO_LATENESS: tuple[int, ...] = (0,) * (len(LATENESS_STEPS) + 1)
"""The histogram of no rows."""
