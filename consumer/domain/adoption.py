"""Adoption: a table that something else has filled becomes a stream's target, once it is proved what it holds; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from consumer.domain.batch import Batch, BatchStatus
from consumer.domain.errors import DivergenceError, UnknownCommitError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.planning import Slice, pack
from consumer.domain.stream import BatchBounds
from consumer.domain.window import PartitionBy, Window

_DAY = timedelta(days=1)
_DONE = (BatchStatus.PUBLISHED, BatchStatus.EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptedWindow:
    """A window whose rows were in the table before icehaul, with what the table holds of it."""

    id: UUID
    window: Window
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """What a publish records of a table that is adopted: contiguous windows from the start to the watermark.

    ``snapshot_id`` is the table's snapshot that was compared; no other one may be adopted.
    """

    windows: Sequence[AdoptedWindow]
    snapshot_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What both tiers hold of one stretch of time."""

    window: Window
    hot: Fingerprint
    cold: Fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferingWindow:
    """A stretch in which both tiers differ: ``missing`` rows are in the hot tier only, ``surplus`` in the cold one."""

    window: Window
    missing: int
    surplus: int


def days(first: datetime, upper: datetime) -> list[Window]:
    """Return the days (UTC) from that of ``first`` to ``upper``, contiguous; the last one ends there."""
    found = []
    lower = PartitionBy.DAY.floor(first)
    while lower < upper:
        found.append(Window(lower=lower, upper=min(lower + _DAY, upper)))
        lower += _DAY
    return found


def proven_from(counted: Sequence[Counted]) -> datetime | None:
    """Return from when on both tiers can be compared at all: where the hot tier's first rows are; ``None`` if nowhere.

    What lies before it was taken from the hot tier by its TTL.
    """
    return next((one.window.lower for one in counted if one.hot.rows), None)


def windows_of(
    counted: Sequence[Counted], start: datetime, bounds: BatchBounds
) -> Iterator[tuple[Window, Fingerprint]]:
    """Yield windows of the size of batches, contiguous from ``start`` on, with what the cold tier holds of each."""
    slices = [Slice(window=one.window, rows=one.cold.rows, bytes=0) for one in counted]
    cold = {one.window.lower: one.cold for one in counted}
    lower = start
    for group in pack(slices, rows=bounds.rows, bytes_=bounds.bytes, span=bounds.window):
        window = Window(lower=lower, upper=group.slices[-1].window.upper)
        yield window, sum((cold[piece.window.lower] for piece in group.slices), EMPTY)
        lower = window.upper


def check_adoption(
    batch: Batch, adoption: Adoption, status: BatchStatus | None, start: datetime, *, unread: bool
) -> None:
    """Check the predicate of an adoption: the stream has read nothing, and its windows begin at its start.

    Raises:
        UnknownCommitError: if it is done already: an earlier commit has landed.
        DivergenceError: if the stream has gone on by itself.
    """
    if status in _DONE:
        raise UnknownCommitError(
            f"stream {batch.stream}: the adoption up to {batch.window.upper.isoformat()} is {status} already",
            remedy="the ledger is read back before anything else; nothing has to be done by hand",
        )
    if not unread or adoption.windows[0].window.lower != start:
        raise DivergenceError(
            f"stream {batch.stream}: windows from {adoption.windows[0].window.lower.isoformat()} on can't be adopted:"
            f" the stream starts at {start.isoformat()}, and"
            f" {'has read nothing' if unread else 'has gone on from there'}",
            remedy="run the same command again: it looks at the stream anew",
        )
