"""Slicing: the rows of a stretch of time as slices that fit a batch, found when it is their turn and not before.

Metadata is asked first. What it leaves open is counted, in pieces of about a batch: a long backlog is never counted
whole before its first batch is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from consumer.domain.partition_bounds import PartitionBounds, Told, Uncounted, foretell
from consumer.domain.planning import Slice, exceeds
from consumer.domain.step import Step
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.ports import Source

_PARTITIONS = 1_000
"""Partitions that are looked at together; those of a long backlog come in several looks, each as fresh as its turn."""


class Slicer:
    """Finds where the rows of a stream are."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def slices(self, stream: Stream, window: Window) -> Iterator[Slice]:
        """Yield the non-empty slices of a window in order, each within the batch bounds or a single instant.

        The source is asked while they are taken, for little more than was taken so far.
        """
        step = Step.of(stream.partition_by)
        lower, most = window.lower, _PARTITIONS
        while lower < window.upper:
            rest = Window(lower=lower, upper=window.upper)
            found = self._source.partition_bounds(stream, rest, most)
            if found is None:
                yield from self._count(stream, Uncounted(window=rest, rows=None), step)
                return
            # Partitions that were left out begin no earlier than the last that is known.
            known = window.upper if len(found) < most else max(lower, step.floor(found[-1].first))
            if known > lower:
                yield from self._foretold(stream, found, Window(lower=lower, upper=known), step)
                lower = known
            else:
                most *= 2

    def histogram(self, stream: Stream, window: Window, step: Step) -> Iterator[Slice]:
        """Count the rows of a window by steps; one query."""
        for bucket in self._source.histogram(stream, window, step):
            lower = max(window.lower, bucket.start)
            upper = min(window.upper, step.end(bucket.start))
            yield Slice(window=Window(lower=lower, upper=upper), rows=bucket.rows, bytes=bucket.bytes)

    def _foretold(
        self, stream: Stream, partitions: Sequence[PartitionBounds], window: Window, step: Step
    ) -> Iterator[Slice]:
        """Yield slices as partitions tell them, cut finer by the partitions inside where one is too large."""
        for piece in foretell(partitions, window, step):
            if isinstance(piece, Uncounted):
                yield from self._count(stream, piece, step)
            elif exceeds(piece.slice, stream.bounds) and step is not Step.MICROSECOND:
                yield from self._finer(stream, piece, step)
            else:
                yield piece.slice

    def _finer(self, stream: Stream, piece: Told, step: Step) -> Iterator[Slice]:
        return self._foretold(stream, piece.members, piece.slice.window, step.finer)

    def _count(self, stream: Stream, piece: Uncounted, step: Step) -> Iterator[Slice]:
        """Count a piece by steps, about a batch at a time."""
        lower, upper = piece.window.lower, piece.window.upper
        length = _about_a_batch(stream, piece)
        while lower < upper:
            stretch = Window(lower=lower, upper=max(_after(lower, step, upper), min(step.floor(lower + length), upper)))
            rows = 0
            for counted in self.histogram(stream, stretch, step):
                rows += counted.rows
                yield from self._within_bounds(stream, counted, step)
            lower = stretch.upper
            if rows > 2 * stream.bounds.rows:
                length /= 2
            elif rows < stream.bounds.rows / 2:
                length = min(length * 2, stream.bounds.window)
            if not rows and lower < upper:
                # Nothing for a while: a gap of years must not be looked through week by week.
                following = self._source.first(stream, Window(lower=lower, upper=upper))
                lower = upper if following is None else max(lower, step.floor(following))

    def _within_bounds(self, stream: Stream, piece: Slice, step: Step) -> Iterator[Slice]:
        if exceeds(piece, stream.bounds) and step is not Step.MICROSECOND:
            yield from self._count(stream, Uncounted(window=piece.window, rows=piece.rows), step.finer)
        else:
            yield piece


def _about_a_batch(stream: Stream, piece: Uncounted) -> timedelta:
    """Return how long a stretch has about as many rows as a batch, were they spread evenly."""
    bounds = stream.bounds
    if piece.rows is None:
        return min(timedelta(days=1), bounds.window)
    length = piece.window.upper - piece.window.lower
    return min(length * (bounds.rows / max(piece.rows, bounds.rows)), bounds.window)


def _after(lower: datetime, step: Step, upper: datetime) -> datetime:
    return min(step.end(step.floor(lower)), upper)
