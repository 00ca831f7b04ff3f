"""Rewinding: to which instant a stream may be set back, and what has to hold when that becomes true; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from consumer.domain.batch import Batch, BatchStatus, Rewind
from consumer.domain.divergence import repair_command
from consumer.domain.errors import ConfigurationError, DivergenceError, StaleDifferenceError, UnknownCommitError
from consumer.domain.fence import check_fence, missing_row
from consumer.domain.inventory import PartitionContent
from consumer.domain.phrasing import instant_text
from consumer.domain.reconcile import (
    ComparedPartition,
    Difference,
    Finding,
    FindingKind,
    PartitionSpan,
    RecordedWindow,
)
from consumer.domain.window import Window

_DONE = (BatchStatus.PUBLISHED, BatchStatus.EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Between which instants a stream's live windows lie; rows below ``adopted`` were in the target before icehaul."""

    start: datetime
    adopted: datetime | None
    watermark: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RewindPlace:
    """Where the ledger has a stream that is to be rewound, read under the lock of its row.

    Attributes:
        status: status of the rewind, ``None`` where the ledger has not seen it.
        windows: the windows that are done and reach above the instant.
        last_upper: upper bound of the last window with rows that lies wholly below them.
    """

    status: BatchStatus | None
    generation: int
    watermark: datetime
    windows: Sequence[RecordedWindow]
    last_upper: datetime | None


def check_instant(stream: str, to: datetime, reach: Reach, now: datetime) -> None:
    """Check that a stream can be set back to an instant at all.

    Raises:
        ConfigurationError: naming the bound that it violates.
    """
    lowest, what = reach.start, "the stream starts at"
    if reach.adopted is not None and reach.adopted > lowest:
        lowest, what = reach.adopted, "rows were adopted, which no window of icehaul's has read, up to"
    if to > now:
        problem, remedy = f"that is in the future; the source's time is {instant_text(now)}", "name an instant that"
    elif to > reach.watermark:
        problem = f"the stream has been read up to {instant_text(reach.watermark)} only"
        remedy = "name an instant that"
    elif to < lowest:
        problem = f"{what} {instant_text(lowest)}"
        remedy = f"name an instant from {instant_text(lowest)} on that"
    else:
        return
    raise ConfigurationError(
        f"--to {to.isoformat()}: stream {stream} can't be rewound there: {problem}",
        remedy=f"{remedy} is not above the watermark {instant_text(reach.watermark)}; see `icehaul status {stream}`",
    )


def check_chain(stream: str, windows: Sequence[RecordedWindow], rest: Window) -> None:
    """Check that the windows that are done lead from an instant to the watermark.

    Raises:
        DivergenceError: if they leave a gap, overlap, or end elsewhere.
    """
    bounds = [one.window for one in windows]
    whole = bool(bounds) and bounds[0].lower <= rest.lower < bounds[0].upper and bounds[-1].upper == rest.upper
    if not whole or any(one.upper != other.lower for one, other in pairwise(bounds)):
        raise DivergenceError(
            f"stream {stream}: the windows that the ledger has do not lead from {instant_text(rest.lower)} to the"
            f" watermark {instant_text(rest.upper)}",
            remedy=repair_command(stream),
        )


def pieces(windows: Sequence[RecordedWindow], instant: datetime) -> list[Window]:
    """Return the windows, contiguous and ascending, the one that straddles the instant in two."""
    first = windows[0].window
    if not first.lower < instant:
        return [one.window for one in windows]
    cut = [Window(lower=first.lower, upper=instant), Window(lower=instant, upper=first.upper)]
    return cut + [one.window for one in windows[1:]]


def pending_partitions(
    recorded: Mapping[str, ComparedPartition],
    contents: Mapping[str, PartitionContent],
    spans: Mapping[str, PartitionSpan],
    instant: datetime,
) -> tuple[ComparedPartition, ...]:
    """Return how partitions with rows from the instant on are remembered, so that such rows are missed if they go.

    What a partition holds below the instant stays compared as it was: a content that was not compared yet is found by
    the next event, as before. One that was never compared can't be remembered, unless it lies wholly above.

    Args:
        recorded: the partitions as they were last compared.
        contents: what they hold now; read before the windows were compared.
        spans: first and last instant of each, and the rows from the instant on.
        instant: the watermark from now on.
    """
    found = []
    for id_, span in sorted(spans.items()):
        known = recorded.get(id_)
        if span.last < instant or (known is None and span.first < instant):
            continue
        content, reach = contents[id_], span
        if known is not None and span.first < instant:
            content = known.content
            reach = replace(span, first=min(span.first, known.span.first), last=max(span.last, known.span.last))
        found.append(ComparedPartition(id=id_, content=content, span=reach, watermark=instant, exact=False))
    return tuple(found)


def compared_before(
    recorded: Mapping[str, ComparedPartition],
    contents: Mapping[str, PartitionContent],
    spans: Mapping[str, PartitionSpan],
    window: Window,
) -> bool:
    """Tell whether the partitions with rows of a window are as they were when they were last compared.

    Otherwise what the hot tier holds of the window now must not be taken for known: late rows may be among it.
    """
    return all(
        id_ in recorded and recorded[id_].content == contents[id_]
        for id_, span in spans.items()
        if span.first < window.upper and window.lower <= span.last
    )


def left_findings(findings: Iterable[Finding], former: Window, rest: Window, left: Difference) -> tuple[Finding, ...]:
    """Return what is still to be known of a window of which a rewind leaves a part.

    Args:
        findings: all findings of the stream.
        former: the window.
        rest: the part of it that stays.
        left: how the tiers differ in that part.
    """
    rows = {
        FindingKind.CHANGED: left.missing,
        FindingKind.DELETED: left.surplus,
        FindingKind.TOO_LATE: left.missing,
    }
    return tuple(
        replace(finding, window=rest, rows=rows[finding.kind])
        for finding in findings
        if finding.window.lower == former.lower and rows.get(finding.kind)
    )


def check_rewind(batch: Batch, rewind: Rewind, place: RewindPlace) -> None:
    """Check the predicate of a rewind: the ledger holds what was looked at when it was decided on.

    Raises:
        UnknownCommitError: if it is done already: an earlier commit has landed.
        StaleDifferenceError: if watermark, generation, or a window's content are others by now.
    """
    if place.status in _DONE:
        raise UnknownCommitError(
            f"stream {batch.stream}: the rewind {batch.id} to {rewind.watermark.isoformat()} is {place.status} already",
            remedy="the ledger is read back before anything else; nothing has to be done by hand",
        )
    problem = None
    if (place.generation, place.watermark) != (batch.generation, batch.window.upper):
        problem = (
            f"it is at generation {place.generation} and watermark {place.watermark.isoformat()} now, not at"
            f" {batch.generation} and {batch.window.upper.isoformat()}"
        )
    elif _contents(place.windows) != _contents(rewind.windows):
        problem = f"the windows from {rewind.since.isoformat()} on hold other rows than those that were looked at"
    elif (rewind.remainder is None or not rewind.remainder.content.rows) and place.last_upper != rewind.last_upper:
        problem = f"the last rows below {rewind.since.isoformat()} end at {place.last_upper}, not {rewind.last_upper}"
    if problem is not None:
        raise StaleDifferenceError(
            f"stream {batch.stream}: the rewind to {rewind.watermark.isoformat()} is out of date: {problem}",
            remedy="nothing has to be done: the stream is looked at again",
        )


def check_held(rewind: Rewind, owner: str, holders: Mapping[str, tuple[int, str | None]]) -> None:
    """Check the leases on dependants: what another owner has planned may reach beyond the watermark that is set back.

    Args:
        rewind: says which leases its owner holds.
        owner: who rewinds.
        holders: epoch and owner of each dependant, read under the lock of its row.

    Raises:
        FencedError: if one of them has moved on.
        DivergenceError: if the ledger has no row of a dependant any more.
    """
    for stream, epoch in sorted(rewind.held.items()):
        if stream not in holders:
            raise missing_row(stream)
        current_epoch, current_owner = holders[stream]
        check_fence(stream=stream, epoch=epoch, owner=owner, current_epoch=current_epoch, current_owner=current_owner)


def _contents(windows: Sequence[RecordedWindow]) -> list[tuple[object, ...]]:
    return [(one.window, one.cold, one.revision) for one in windows]
