"""What metadata tells of where rows are before a row is read: bounds of partitions, cut at the steps of the calendar.

All functions are pure. Bounds may be too wide and counts too high (rows that a lightweight delete has hidden, or that
have gone since), never too narrow: where nothing is told, there is no row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from consumer.domain.planning import Slice
from consumer.domain.step import Step
from consumer.domain.window import MICROSECOND, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionBounds:
    """Between which instants (both inclusive) all rows of one partition lie, and how many these are at most."""

    first: datetime
    last: datetime
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A bucket whose rows are known without counting: ``members`` are the partitions that lie in it entirely."""

    slice: Slice
    members: tuple[PartitionBounds, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncounted:
    """A window that has to be counted, and about how many rows it may hold; ``None`` where nothing tells."""

    window: Window
    rows: int | None


def foretell(partitions: Sequence[PartitionBounds], window: Window, step: Step) -> Iterator[Told | Uncounted]:
    """Yield what is known of a window by steps: ascending, disjoint, and covering every row in it.

    A partition that lies in one step and in the window entirely is known; whatever one reaches that crosses a border
    has to be counted. Takes time in proportion to the partitions, but for putting them in order.
    """
    told: dict[datetime, list[PartitionBounds]] = {}
    crossing: list[Uncounted] = []
    for one in sorted(partitions, key=lambda one: one.first):
        first, last = max(one.first, window.lower), min(one.last, window.upper - MICROSECOND)
        if first > last:
            continue
        start = step.floor(first)
        if first == one.first and last == one.last and last < step.end(start):
            told.setdefault(start, []).append(one)
        else:
            reach = Window(lower=start, upper=step.end(step.floor(last)))
            share = (last - first + MICROSECOND) / (one.last - one.first + MICROSECOND)
            crossing.append(Uncounted(window=_clip(reach, window), rows=ceil(one.rows * share)))
    yield from _in_order(
        [_told(members, _clip(Window(lower=start, upper=step.end(start)), window)) for start, members in told.items()],
        crossing,
    )


def _in_order(told: Sequence[Told], crossing: Sequence[Uncounted]) -> Iterator[Told | Uncounted]:
    """Merge the two, both ascending; what overlaps is counted together, what is known inside of it as well."""
    pieces: list[Told | Uncounted] = sorted([*crossing, *told], key=lambda piece: _window(piece).lower)
    held: Told | Uncounted | None = None
    for piece in pieces:
        if held is not None and _window(piece).lower < _window(held).upper:
            held = _together(held, piece)
            continue
        if held is not None:
            yield held
        held = piece
    if held is not None:
        yield held


def _together(one: Told | Uncounted, other: Told | Uncounted) -> Uncounted:
    upper = max(_window(one).upper, _window(other).upper)
    return Uncounted(window=Window(lower=_window(one).lower, upper=upper), rows=_rows(one) + _rows(other))


def _window(piece: Told | Uncounted) -> Window:
    return piece.slice.window if isinstance(piece, Told) else piece.window


def _rows(piece: Told | Uncounted) -> int:
    return piece.slice.rows if isinstance(piece, Told) else piece.rows or 0


def _told(members: Sequence[PartitionBounds], window: Window) -> Told:
    rows, bytes_ = sum(one.rows for one in members), sum(one.bytes for one in members)
    return Told(slice=Slice(window=window, rows=rows, bytes=bytes_), members=tuple(members))


def _clip(window: Window, to: Window) -> Window:
    return Window(lower=max(window.lower, to.lower), upper=min(window.upper, to.upper))
