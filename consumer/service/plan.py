"""Planning: from a stream's watermark to the bounded batches that lead to its cutoff."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

from consumer.domain.batch import Batch, BatchKind, SequenceRange, Unit, batch_id
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.planning import Cutoff, CutoffReason, Group, Slice, by_partition, exceeds, find_cutoff, pack
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING, END_OF_TIME, MICROSECOND, PartitionBy, Window
from consumer.ports import Ledger, Source, SourceTable, Step, StreamRecord, TargetTable
from consumer.service.retention import leave_upstreams, look_ahead
from consumer.service.slicing import Slicer

_SHORT = timedelta(days=1)
"""A stretch of one partition of the target that is no longer than this is counted at once: the ordinary tick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The two tables and the generation that a stream's batch ids derive from."""

    source_uuid: UUID
    target_uuid: UUID
    generation: int

    def batch_id(self, kind: BatchKind, window: Window, *, base: Fingerprint | None = None, revision: int = 0) -> UUID:
        """Return the id of a batch between the two tables; see :func:`consumer.domain.batch.batch_id`."""
        return batch_id(
            source_uuid=self.source_uuid,
            target_uuid=self.target_uuid,
            kind=kind,
            window=window,
            generation=self.generation,
            base=base,
            revision=revision,
        )


def partitioned(stream: Stream, target: TargetTable | None) -> Stream:
    """Return the stream as its target is partitioned now, which another engine may have changed."""
    if target is None or target.partition_by in (None, stream.partition_by):
        return stream
    return replace(stream, partition_by=target.partition_by)


def fitted(stream: Stream, target: TargetTable | None) -> Stream:
    """Return the stream with units whose files have the size and the partitions that its target asks for.

    Raises:
        TargetMismatchError: if the size that it asks for is none.
    """
    return stream if target is None else replace(partitioned(stream, target), bounds=target.fitted(stream.bounds))


class Planner:
    """Plans batches; the consumer, ``plan`` and the tests use this one."""

    def __init__(self, source: Source, ledger: Ledger) -> None:
        self._source = source
        self._ledger = ledger
        self._slicer = Slicer(source)

    def cutoff(self, stream: Stream, event_cutoff: datetime, table: SourceTable | None) -> Cutoff:
        """Return how far the stream may be read on behalf of an event with this cutoff.

        Where an upstream is waited for, and what is left by that may be lost to the TTL of the source ``table``, it is
        not waited for, or the cutoff has an obstacle. Without a table it is waited for in any case.
        """
        until = self._ledger.final_until(stream.upstreams) if stream.upstreams else {}
        upstreams = {name: until.get(name, BEGINNING) for name in stream.upstreams}
        now = self._source.now()
        waiting = find_cutoff(stream, event_cutoff=event_cutoff, now=now, upstreams=upstreams)
        if waiting.reason is not CutoffReason.UPSTREAM or table is None:
            return waiting
        left = look_ahead(self._source, stream, table, waiting.instant, now)
        if not left.within(stream.retention.margin):
            return waiting
        free = find_cutoff(stream, event_cutoff=event_cutoff, now=now, upstreams={})
        return leave_upstreams(stream, waiting, free, left)

    def batches(
        self, stream: Stream, record: StreamRecord, identity: Identity, cutoff: datetime, *, unread: bool = True
    ) -> Iterator[Batch]:
        """Yield the batches from the watermark to ``cutoff``, in order, each within the stream's bounds.

        Windows are contiguous: each starts where the one before it ends, and the last ends at ``cutoff``.
        A stretch without rows at the end makes an empty batch. Nothing is yielded if the watermark has
        reached the cutoff. Unless rows may be ``unread``, the source is not asked for any. A batch is planned when it
        is taken, and the source asked for little more than that: a backlog of years is not looked through before.
        """
        lower = record.watermark
        if unread and lower < cutoff:
            for group in self._groups(stream, Window(lower=lower, upper=cutoff)):
                upper = cutoff if group.following is None else group.following
                window = Window(lower=lower, upper=upper)
                yield self._batch(stream, identity, window, self._units(stream, window, group.slices))
                lower = upper
        if lower < cutoff:
            yield self._batch(stream, identity, Window(lower=lower, upper=cutoff), ())

    def backfill(self, stream: Stream, identity: Identity, stretch: Window, request: UUID) -> Batch:
        """Return the first batch of a stretch of history, within the stream's bounds; it begins where that begins.

        No more of the source is looked at than one batch may span, unless there is no row in so much of it: then the
        batch is empty, and ends before the next row.
        """
        ahead = stream.partition_by.ceil(stretch.lower + stream.bounds.window - MICROSECOND)
        if stream.partition_by is PartitionBy.NONE:
            ahead = stretch.lower + stream.bounds.window
        near = Window(lower=stretch.lower, upper=min(ahead, stretch.upper))
        group = next(self._groups(stream, near), None)
        if group is not None:
            window = replace(near, upper=near.upper if group.following is None else group.following)
            batch = self._batch(stream, identity, window, self._units(stream, window, group.slices), BatchKind.BACKFILL)
        else:
            first = self._source.first(stream, stretch)
            if first is not None and first < near.upper:
                return self.backfill(stream, identity, stretch, request)  # it has just arrived
            upper = stretch.upper if first is None else max(near.upper, stream.partition_by.floor(first))
            window = Window(lower=stretch.lower, upper=min(upper, stretch.upper))
            batch = self._batch(stream, identity, window, (), BatchKind.BACKFILL)
        return replace(batch, request=request)

    def units(self, stream: Stream, window: Window) -> tuple[Unit, ...]:
        """Return the units that cover a window's rows as they are now, however many these are; none without rows."""
        slices = [piece for group in self._groups(stream, window) for piece in group.slices]
        return self._units(stream, window, slices)

    def _groups(self, stream: Stream, whole: Window) -> Iterator[Group]:
        """Yield the slices of a stretch, a batch's worth together; the source is asked while they are taken."""
        floor, bounds = stream.partition_by.floor, stream.bounds
        length = whole.upper - whole.lower
        if length <= min(_SHORT, bounds.window) and floor(whole.lower) == floor(whole.upper - MICROSECOND):
            extent = self._source.extent(stream, whole)
            only = Slice(window=whole, rows=extent.rows, bytes=extent.bytes)
            if not extent.rows:
                return
            if not exceeds(only, bounds):
                yield Group(slices=(only,), following=None)
                return
        slices = self._slicer.slices(stream, whole)
        yield from pack(slices, rows=bounds.rows, bytes_=bounds.bytes, span=bounds.window)

    def _units(self, stream: Stream, window: Window, slices: Sequence[Slice]) -> tuple[Unit, ...]:
        units: list[Unit] = []
        for partition in by_partition(window, slices, stream.partition_by):
            for piece, sequence in self._unit_slices(stream, partition, Step.of(stream.partition_by)):
                units.append(
                    Unit(index=len(units), window=piece.window, rows=piece.rows, sequence=sequence, bytes=piece.bytes)
                )
        return tuple(units)

    def _unit_slices(self, stream: Stream, piece: Slice, step: Step) -> Iterator[tuple[Slice, SequenceRange | None]]:
        """Cut a slice of one partition into pieces of at most ``unit_rows`` that cover it without gaps."""
        limit = stream.bounds.unit_rows
        if piece.rows <= limit:
            yield piece, None
            return
        if step is Step.MICROSECOND:
            ranges = list(self._sequence_ranges(stream, piece, limit))
            for position, sequence in enumerate(ranges):
                yield _share(piece, position, len(ranges), limit), sequence
            return
        groups = pack(
            self._slicer.histogram(stream, piece.window, step.finer),
            rows=_even(piece.rows, limit),
            bytes_=stream.bounds.bytes,
            span=END_OF_TIME - BEGINNING,
        )
        lower = piece.window.lower
        for group in groups:
            upper = piece.window.upper if group.following is None else group.following
            covered = Slice(window=Window(lower=lower, upper=upper), rows=group.rows, bytes=group.bytes)
            yield from self._unit_slices(stream, covered, step.finer)
            lower = upper

    def _sequence_ranges(self, stream: Stream, piece: Slice, limit: int) -> Iterator[SequenceRange | None]:
        """Cut one instant by the sequence columns; one range without bounds where they can't split it."""
        if not stream.sequence_columns:
            yield None
            return
        cuts = list(self._source.sequence_bounds(stream, piece.window, limit))
        bounds: list[tuple[str, ...] | None] = [None, *cuts, None]
        for lower, upper in pairwise(bounds):
            yield SequenceRange(lower=lower, upper=upper) if cuts else None

    def _batch(
        self,
        stream: Stream,
        identity: Identity,
        window: Window,
        units: tuple[Unit, ...],
        kind: BatchKind = BatchKind.WINDOW,
    ) -> Batch:
        return Batch(
            id=identity.batch_id(kind, window),
            stream=stream.name,
            kind=kind,
            window=window,
            generation=identity.generation,
            units=units,
        )


def _share(piece: Slice, position: int, count: int, limit: int) -> Slice:
    """Return the share of one range of an instant's rows: ``limit`` for each range but the last."""
    rows = piece.rows if count == 1 else limit if position < count - 1 else max(0, piece.rows - limit * (count - 1))
    return Slice(window=piece.window, rows=rows, bytes=piece.bytes * rows // piece.rows)


def _even(rows: int, limit: int) -> int:
    """Return the bound that cuts rows into pieces of about one size, as few as ``limit`` allows.

    Pieces run side by side, so a small last one would leave the others alone. The slack of a twentieth is for
    histogram steps, which are no whole part of a piece.
    """
    share = -(-rows // -(-rows // limit))
    return min(limit, share + share // 20)
