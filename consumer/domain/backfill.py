"""Backfills: ranges of history that are offloaded beside a stream's live windows; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from consumer.domain.batch import Batch, BatchStatus
from consumer.domain.divergence import repair_command
from consumer.domain.errors import (
    BackfillChangedError,
    ConfigurationError,
    DivergenceError,
    UnknownCommitError,
)
from consumer.domain.window import PartitionBy, Window

_STRETCHES_MAX = 100
_DONE = (BatchStatus.PUBLISHED, BatchStatus.EMPTY)


class BackfillState(StrEnum):
    """Whether a request for a range of history is worked on."""

    OPEN = "open"
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillRequest:
    """A range of a stream's history that somebody wants in the cold tier.

    Attributes:
        window: the whole range, parts that were done before it among them.
        position: everything of the range before this instant is done.
        windows: windows that were done by this request, those without rows among them.
        rows: rows that these brought into the cold tier.
        bytes: bytes of the data files that they are in.
        ended: when it was done or cancelled; ``None`` while it is open.
    """

    id: UUID
    stream: str
    window: Window
    position: datetime
    state: BackfillState
    requested_by: str
    requested: datetime
    windows: int = 0
    rows: int = 0
    bytes: int = 0
    ended: datetime | None = None

    @property
    def rest(self) -> Window | None:
        """What of the range is not done yet; ``None`` if nothing."""
        if self.position >= self.window.upper:
            return None
        return Window(lower=self.position, upper=self.window.upper)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillPlace:
    """Where the ledger has a backfill batch, read under the lock of its stream's row.

    Attributes:
        status: status of the batch, ``None`` where the ledger has not seen it.
        overlapped: whether a window of the same generation that is done overlaps the batch's.
        position: how far its request is; ``None`` unless that is open.
        start: where the stream's live windows start.
        generation: the stream's generation.
    """

    status: BatchStatus | None
    overlapped: bool
    position: datetime | None
    start: datetime
    generation: int


def check_backfill(batch: Batch, place: BackfillPlace) -> None:
    """Check the predicate of a backfill batch: its window overlaps none that is done, and its request goes on there.

    Raises:
        UnknownCommitError: if it is done already: an earlier commit has landed.
        BackfillChangedError: if its request was cancelled, or is past the window already.
        DivergenceError: if the ledger contradicts the plan.
    """
    window = batch.window
    if place.status in _DONE:
        raise UnknownCommitError(
            f"stream {batch.stream}: backfill {batch.id} {window} is {place.status} already",
            remedy="the ledger is read back before anything else; nothing has to be done by hand",
        )
    if place.position is None or place.position > window.lower:
        raise request_changed(batch.stream, batch.request)
    problem = None
    if place.generation != batch.generation:
        problem = f"the batch is of generation {batch.generation}, the ledger is at generation {place.generation}"
    elif window.upper > place.start:
        problem = f"{window} reaches beyond the start {place.start.isoformat()}, from which on windows are live"
    elif place.overlapped:
        problem = f"a window of generation {batch.generation} that is done already overlaps {window}"
    if problem is not None:
        raise DivergenceError(
            f"stream {batch.stream}: {problem}",
            remedy=repair_command(batch.stream),
        )


def uncovered(wanted: Window, done: Iterable[Window]) -> Iterator[Window]:
    """Yield the stretches of ``wanted`` that no window of ``done`` covers, ascending."""
    lower = wanted.lower
    for window in sorted(done):
        if window.upper <= lower:
            continue
        if window.lower >= wanted.upper:
            break
        if window.lower > lower:
            yield Window(lower=lower, upper=window.lower)
        lower = window.upper
    if lower < wanted.upper:
        yield Window(lower=lower, upper=wanted.upper)


def stretches(windows: Iterable[Window]) -> list[Window]:
    """Return the stretches that windows cover together, ascending; windows that touch become one."""
    found: list[Window] = []
    for window in sorted(windows):
        if found and window.lower <= found[-1].upper:
            found[-1] = Window(lower=found[-1].lower, upper=max(found[-1].upper, window.upper))
        else:
            found.append(window)
    return found


def newest_first(wanted: Window, span: timedelta, partition_by: PartitionBy, first: datetime | None) -> list[Window]:
    """Cut a range into stretches that are asked for one by one, the newest first; together they are all of it.

    Args:
        wanted: the range.
        span: how long a stretch is about; they are longer where there would be more than a hundred.
        partition_by: at whose borders the range is cut.
        first: where the first row is; what lies before it is not cut. ``None`` where there is none.
    """
    oldest = wanted.upper if first is None else max(first, wanted.lower)
    span = max(span, (wanted.upper - oldest) / _STRETCHES_MAX)
    found: list[Window] = []
    upper = wanted.upper
    while True:
        lower = upper - span
        if partition_by is not PartitionBy.NONE:
            lower = partition_by.floor(lower)
        if lower <= max(oldest, wanted.lower):
            return [*found, Window(lower=wanted.lower, upper=upper)]
        found.append(Window(lower=lower, upper=upper))
        upper = lower


def covered(done: Iterable[Window], *, start: datetime, watermark: datetime) -> list[Window]:
    """Return the stretches whose rows belong into the cold tier: all from the start on, below it what was backfilled.

    Args:
        done: windows that are done; from the start on the watermark counts, whatever the ledger has of them.
        start: where the stream's live windows start.
        watermark: up to where they lead.
    """
    history = [window for window in done if window.lower < start]
    live = [Window(lower=start, upper=watermark)] if watermark > start else []
    return stretches([*history, *live])


def check_no_overlap(request: BackfillRequest, others: Sequence[BackfillRequest]) -> None:
    """Make sure that a range is asked for once at a time.

    Raises:
        ConfigurationError: if an open request overlaps the new one.
    """
    window = request.window
    for other in others:
        if other.window.lower < window.upper and window.lower < other.window.upper:
            raise ConfigurationError(
                f"--from, --to: {window} overlaps the open request {other.id} for {other.window} of stream"
                f" {request.stream}",
                remedy="ask for what lies beside it, or cancel it first: `icehaul backfill"
                f" {request.stream} --cancel`; what it has done stays done",
            )


def request_changed(stream: str, request: UUID | None) -> BackfillChangedError:
    """Return the error for a request that is not open any more, or further than its owner knows."""
    return BackfillChangedError(
        f"stream {stream}: the backfill request {request} was cancelled, or somebody else has gone on with it",
        remedy="nothing has to be done: the backfill goes on with what is asked for now",
    )
