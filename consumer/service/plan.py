"""Planning: from a stream's watermark to the bounded batches that lead to its cutoff."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice, pairwise
from uuid import UUID

from consumer.domain.batch import Batch, BatchKind, SequenceRange, Unit, batch_id
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.planning import Cutoff, CutoffReason, Slice, by_partition, exceeds, find_cutoff, pack
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING, END_OF_TIME, MICROSECOND, PartitionBy, Window
from consumer.ports import Ledger, Source, SourceTable, Step, StreamRecord, TargetTable
from consumer.service.retention import leave_upstreams, look_ahead

_STEPS = tuple(Step)
_FIRST_STEP = {
    PartitionBy.NONE: Step.DAY,
    PartitionBy.YEAR: Step.YEAR,
    PartitionBy.MONTH: Step.MONTH,
    PartitionBy.DAY: Step.DAY,
    PartitionBy.HOUR: Step.HOUR,
}
_FIXED_LENGTH = {
    Step.DAY: timedelta(days=1),
    Step.HOUR: timedelta(hours=1),
    Step.MINUTE: timedelta(minutes=1),
    Step.SECOND: timedelta(seconds=1),
    Step.MILLISECOND: timedelta(milliseconds=1),
    Step.MICROSECOND: timedelta(microseconds=1),
}


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


def fitted(stream: Stream, target: TargetTable | None) -> Stream:
    """Return the stream with units whose files have the size that its target asks for.

    Raises:
        TargetMismatchError: if the size that it asks for is none.
    """
    return stream if target is None else replace(stream, bounds=target.fitted(stream.bounds))


class Planner:
    """Plans batches; the consumer, ``plan`` and the tests use this one."""

    def __init__(self, source: Source, ledger: Ledger) -> None:
        self._source = source
        self._ledger = ledger

    def cutoff(self, stream: Stream, event_cutoff: datetime, table: SourceTable | None) -> Cutoff:
        """Return how far the stream may be read on behalf of an event with this cutoff.

        Where an upstream is waited for, and what is left by that may be lost to the TTL of the source ``table``, it is
        not waited for, or the cutoff has an obstacle. Without a table it is waited for in any case.
        """
        records = self._ledger.read(stream.upstreams) if stream.upstreams else {}
        upstreams = {name: records[name].watermark if name in records else BEGINNING for name in stream.upstreams}
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
        reached the cutoff. Unless rows may be ``unread``, the source is not asked for any.
        """
        if record.watermark >= cutoff:
            return
        whole = Window(lower=record.watermark, upper=cutoff)
        lower = whole.lower
        groups = list(self._groups(stream, whole)) if unread else []
        for position, group in enumerate(groups):
            following = groups[position + 1][0].window.lower if position + 1 < len(groups) else cutoff
            window = Window(lower=lower, upper=following)
            yield self._batch(stream, identity, window, self._units(stream, window, group))
            lower = following
        if not groups:
            yield self._batch(stream, identity, whole, ())

    def backfill(self, stream: Stream, identity: Identity, stretch: Window, request: UUID) -> Batch:
        """Return the first batch of a stretch of history, within the stream's bounds; it begins where that begins.

        No more of the source is looked at than one batch may span, unless there is no row in so much of it: then the
        batch is empty, and ends before the next row.
        """
        ahead = stream.partition_by.ceil(stretch.lower + stream.bounds.window - MICROSECOND)
        if stream.partition_by is PartitionBy.NONE:
            ahead = stretch.lower + stream.bounds.window
        near = Window(lower=stretch.lower, upper=min(ahead, stretch.upper))
        groups = list(islice(self._groups(stream, near), 2))
        if groups:
            window = replace(near, upper=groups[1][0].window.lower if len(groups) > 1 else near.upper)
            batch = self._batch(stream, identity, window, self._units(stream, window, groups[0]), BatchKind.BACKFILL)
        else:
            first = self._source.extent(stream, stretch).first
            if first is not None and first < near.upper:
                return self.backfill(stream, identity, stretch, request)  # it has just arrived
            upper = stretch.upper if first is None else max(near.upper, stream.partition_by.floor(first))
            window = Window(lower=stretch.lower, upper=min(upper, stretch.upper))
            batch = self._batch(stream, identity, window, (), BatchKind.BACKFILL)
        return replace(batch, request=request)

    def units(self, stream: Stream, window: Window) -> tuple[Unit, ...]:
        """Return the units that cover a window's rows as they are now, however many these are; none without rows."""
        slices = [piece for group in self._groups(stream, window) for piece in group]
        return self._units(stream, window, slices)

    def _groups(self, stream: Stream, whole: Window) -> Iterator[list[Slice]]:
        extent = self._source.extent(stream, whole)
        if extent.first is None or extent.last is None:
            return
        floor = stream.partition_by.floor
        only = Slice(window=whole, rows=extent.rows, bytes=extent.bytes)
        # One partition and within bounds: the common small batch needs no histogram.
        short = extent.last - extent.first <= stream.bounds.window
        if short and floor(extent.first) == floor(extent.last) and not exceeds(only, stream.bounds):
            held = Window(
                lower=max(whole.lower, floor(extent.first)),
                upper=min(whole.upper, stream.partition_by.ceil(extent.first)),
            )
            yield [Slice(window=held, rows=extent.rows, bytes=extent.bytes)]
            return
        bounds = stream.bounds
        slices = self._slices(stream, whole, _FIRST_STEP[stream.partition_by])
        yield from pack(slices, rows=bounds.rows, bytes_=bounds.bytes, span=bounds.window)

    def _slices(self, stream: Stream, window: Window, step: Step) -> Iterator[Slice]:
        """Yield the non-empty slices of a window, cut finer wherever one exceeds the batch bounds."""
        for piece in self._histogram(stream, window, step):
            if exceeds(piece, stream.bounds) and step is not Step.MICROSECOND:
                yield from self._slices(stream, piece.window, _finer(step))
            else:
                yield piece

    def _histogram(self, stream: Stream, window: Window, step: Step) -> Iterator[Slice]:
        for bucket in self._source.histogram(stream, window, step):
            lower = max(window.lower, bucket.start)
            upper = min(window.upper, _end(bucket.start, step))
            yield Slice(window=Window(lower=lower, upper=upper), rows=bucket.rows, bytes=bucket.bytes)

    def _units(self, stream: Stream, window: Window, slices: Sequence[Slice]) -> tuple[Unit, ...]:
        units: list[Unit] = []
        for partition in by_partition(window, slices, stream.partition_by):
            for piece, sequence in self._unit_slices(stream, partition, _FIRST_STEP[stream.partition_by]):
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
        finer = _finer(step)
        groups = list(
            pack(
                self._histogram(stream, piece.window, finer),
                rows=_even(piece.rows, limit),
                bytes_=stream.bounds.bytes,
                span=END_OF_TIME - BEGINNING,
            )
        )
        lower = piece.window.lower
        for position, group in enumerate(groups):
            upper = groups[position + 1][0].window.lower if position + 1 < len(groups) else piece.window.upper
            rows = sum(member.rows for member in group)
            covered = Slice(
                window=Window(lower=lower, upper=upper), rows=rows, bytes=sum(member.bytes for member in group)
            )
            yield from self._unit_slices(stream, covered, finer)
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


def _finer(step: Step) -> Step:
    return _STEPS[_STEPS.index(step) + 1]


def _end(start: datetime, step: Step) -> datetime:
    if step is Step.YEAR:
        return PartitionBy.YEAR.ceil(start)
    if step is Step.MONTH:
        return PartitionBy.MONTH.ceil(start)
    return start + _FIXED_LENGTH[step]
