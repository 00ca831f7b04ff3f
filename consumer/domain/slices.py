"""Slices: the stretches of time into which a verification cuts a stream's rows, so that each is compared by itself."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, count, groupby, pairwise

from consumer.domain.errors import ConfigurationError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.reconcile import RecordedWindow
from consumer.domain.window import Window

SLICES_MAX = 2_000
"""Slices of one verification at most: where a stream has more windows, neighbours are compared together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedRows:
    """Rows that `icehaul drop-hot` has dropped: the stretch of time of their partition, and their fingerprint."""

    window: Window
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A stretch of time that both tiers are compared in.

    Attributes:
        window: the stretch.
        belongs: whether rows of it belong into the cold tier; a row of it is one too many there where they don't.
        recorded: how many rows the ledger has of it, for telling how far the verification is.
        dropped: what of it was dropped from the hot tier on purpose.
    """

    window: Window
    belongs: bool
    recorded: int = 0
    dropped: Fingerprint = EMPTY


def slices_of(
    within: Window,
    *,
    covered: Sequence[Window],
    recorded: Sequence[RecordedWindow],
    dropped: Sequence[DroppedRows],
    most: int = SLICES_MAX,
) -> list[Slice]:
    """Cut a range into slices, ascending and without a gap: a slice for each window that is done, or for several.

    Args:
        within: the range.
        covered: the stretches whose rows belong into the cold tier, ascending.
        recorded: the windows that are done, ascending, with what is recorded of them.
        dropped: what was dropped from the hot tier; a slice holds all of what was dropped together, or none of it.
        most: how many slices there are at most, as far as ``covered`` allows.
    """
    kept = [one for one in dropped if _overlap(one.window, within)]
    borders = {instant for one in covered for instant in (one.lower, one.upper)}
    cuts = {instant for one in recorded for instant in (one.window.lower, one.window.upper)}
    cuts -= {cut for cut in cuts for one in kept if one.window.lower < cut < one.window.upper}
    inner = sorted(instant for instant in borders | cuts if within.lower < instant < within.upper)
    windows = [Window(lower=lower, upper=upper) for lower, upper in pairwise([within.lower, *inner, within.upper])]
    lowers = [one.window.lower for one in recorded]
    below = [0, *accumulate(one.cold.rows for one in recorded)]
    return [
        Slice(
            window=window,
            belongs=any(_overlap(one, window) for one in covered),
            recorded=below[bisect_left(lowers, window.upper)] - below[bisect_left(lowers, window.lower)],
            dropped=sum((one.fingerprint for one in kept if window.contains(one.window.lower)), EMPTY),
        )
        for window in _joined(windows, borders, most)
    ]


def _joined(windows: Sequence[Window], borders: Collection[datetime], most: int) -> Iterator[Window]:
    """Join neighbours that no border parts, as many as it takes."""
    together = -(-len(windows) // most)
    parts = accumulate(window.lower in borders for window in windows)
    numbered = zip(parts, count(), windows, strict=False)
    for _, members in groupby(numbered, key=lambda one: (one[0], one[1] // together)):
        joined = [window for _, _, window in members]
        yield Window(lower=joined[0].lower, upper=joined[-1].upper)


def runs_of(slices: Sequence[Slice], rows: int) -> list[list[Slice]]:
    """Return the slices whose rows belong into the cold tier, in runs without a gap of about ``rows`` rows each."""
    runs: list[list[Slice]] = []
    size = 0
    for one in slices:
        if not one.belongs:
            continue
        if not runs or runs[-1][-1].window.upper != one.window.lower or size + one.recorded > rows:
            runs.append([])
            size = 0
        runs[-1].append(one)
        size += one.recorded
    return runs


def check_range(stream: str, within: Window, dropped: Sequence[DroppedRows]) -> None:
    """Make sure that a range cuts through nothing that was dropped from the hot tier: its digest is known as a whole.

    Raises:
        ConfigurationError: naming the bound, and where it could be instead.
    """
    for one in dropped:
        for option, bound in (("--from", within.lower), ("--to", within.upper)):
            if one.window.lower < bound < one.window.upper:
                raise ConfigurationError(
                    f"{option}: {bound.isoformat()} lies inside of what was dropped from the hot tier of stream"
                    f" {stream}, {one.window}, which can be compared as a whole only",
                    remedy=f"name {one.window.lower.isoformat()} or {one.window.upper.isoformat()}",
                )


def _overlap(one: Window, other: Window) -> bool:
    return one.lower < other.upper and other.lower < one.upper
