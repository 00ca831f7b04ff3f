"""Planning rules: how far a stream may be read, and how a stretch of time is cut into batches and units.

All functions are pure; the counts come from the source, the clock is the source server's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from consumer.domain.duration import format_duration
from consumer.domain.errors import RetentionError
from consumer.domain.phrasing import instant_text
from consumer.domain.stream import BatchBounds, Stream
from consumer.domain.window import BEGINNING, PartitionBy, Window

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class CutoffReason(StrEnum):
    """Which bound decided how far a stream is read."""

    EVENT = "event"
    SETTLE_LAG = "settle lag"
    ROW_SPAN = "row span"
    UPSTREAM = "upstream"
    TTL = "ttl"
    """Rows would be deleted while the stream waits for an upstream, so it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutoff:
    """How far a stream may be read now, why, and what the bound was computed from.

    ``obstacle`` is why it must not be read at all, but has to be halted; ``None`` otherwise.
    """

    instant: datetime
    reason: CutoffReason
    detail: str
    obstacle: RetentionError | None = None


def find_cutoff(stream: Stream, *, event_cutoff: datetime, now: datetime, upstreams: Mapping[str, datetime]) -> Cutoff:
    """Return the earliest of the bounds on what may be read.

    A row is final once its span and the settle lag have passed, so both are subtracted from the server's
    time. Rows with a span (bars) are derived from an upstream's rows of that span, so an upstream's
    watermark counts as far as it covers whole spans since the Unix epoch.

    Args:
        stream: the stream to be read.
        event_cutoff: the cutoff that the event asks for.
        now: the source server's time.
        upstreams: watermark of every upstream stream.
    """
    candidates = [
        Cutoff(
            instant=event_cutoff,
            reason=CutoffReason.EVENT,
            detail=f"the event asks for {instant_text(event_cutoff)}",
        )
    ]
    lagged = now - stream.settle_lag
    candidates.append(
        Cutoff(
            instant=lagged,
            reason=CutoffReason.SETTLE_LAG,
            detail=f"server time {instant_text(now)} less the settle lag of {format_duration(stream.settle_lag)}",
        )
    )
    if stream.row_span:
        candidates.append(
            Cutoff(
                instant=lagged - stream.row_span,
                reason=CutoffReason.ROW_SPAN,
                detail=f"server time {instant_text(now)} less settle lag and row span"
                f" ({format_duration(stream.settle_lag)} + {format_duration(stream.row_span)})",
            )
        )
    for name, watermark in upstreams.items():
        covered = floor_to_span(watermark, stream.row_span) if stream.row_span else watermark
        candidates.append(
            Cutoff(
                instant=covered,
                reason=CutoffReason.UPSTREAM,
                detail=f"upstream {name} "
                + ("was never read" if watermark == BEGINNING else f"has been read up to {instant_text(watermark)}"),
            )
        )
    return min(candidates, key=lambda candidate: candidate.instant)


def floor_to_span(instant: datetime, span: timedelta) -> datetime:
    """Return the latest multiple of ``span`` since the Unix epoch that is not after ``instant``."""
    floored = _EPOCH + ((instant - _EPOCH) // span) * span
    return max(floored, BEGINNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A stretch of the time column with the rows and bytes counted in it."""

    window: Window
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Consecutive slices that belong together; ``following`` is where the next group begins, if there is one."""

    slices: tuple[Slice, ...]
    following: datetime | None

    @property
    def rows(self) -> int:
        """Rows of all slices."""
        return sum(piece.rows for piece in self.slices)

    @property
    def bytes(self) -> int:
        """Bytes of all slices."""
        return sum(piece.bytes for piece in self.slices)


def pack(slices: Iterable[Slice], *, rows: int, bytes_: int, span: timedelta) -> Iterator[Group]:
    """Group consecutive slices greedily so that no group exceeds the bounds; one slice is taken beyond each group.

    A slice that exceeds them by itself forms a group of its own. ``span`` is counted from the start of a
    group's first slice to the end of its last.
    """
    group: list[Slice] = []
    group_rows = group_bytes = 0
    for piece in slices:
        too_long = bool(group) and piece.window.upper - group[0].window.lower > span
        if group and (group_rows + piece.rows > rows or group_bytes + piece.bytes > bytes_ or too_long):
            yield Group(slices=tuple(group), following=piece.window.lower)
            group, group_rows, group_bytes = [], 0, 0
        group.append(piece)
        group_rows += piece.rows
        group_bytes += piece.bytes
    if group:
        yield Group(slices=tuple(group), following=None)


def exceeds(piece: Slice, bounds: BatchBounds) -> bool:
    """Tell whether a slice is too large for one batch."""
    return piece.rows > bounds.rows or piece.bytes > bounds.bytes


def by_partition(window: Window, slices: Sequence[Slice], partition_by: PartitionBy) -> Iterator[Slice]:
    """Merge the slices of a batch into one slice for each target partition, clipped to the batch's window.

    The slices are in ascending order, and each lies inside one partition.
    """
    if not slices:
        return
    start = 0
    for position in range(1, len(slices) + 1):
        floor = partition_by.floor(slices[start].window.lower)
        if position < len(slices) and partition_by.floor(slices[position].window.lower) == floor:
            continue
        members = slices[start:position]
        ceil = partition_by.ceil(members[0].window.lower)
        yield Slice(
            window=Window(lower=max(window.lower, floor), upper=min(window.upper, ceil)),
            rows=sum(piece.rows for piece in members),
            bytes=sum(piece.bytes for piece in members),
        )
        start = position
