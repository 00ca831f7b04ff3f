"""Repairing: telling which of the ledger's batches a target table still proves, and what has to be counted anew; pure.

The ledger follows the table, never the reverse. A snapshot on the current one's ancestry proves its batch; one that was
expired is proved by its place before the oldest that is still to be seen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from consumer.domain.adoption import days
from consumer.domain.batch import BatchKind, BatchStatus, Evidence
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.reconcile import Content, DonePart, PartKind, content_of
from consumer.domain.window import Window

_DONE = (BatchStatus.PUBLISHED, BatchStatus.EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """A table's current snapshot and its ancestors: the ids of snapshots, and of the batches that they name.

    ``whole`` tells whether the first snapshot is among them, so that nothing can be hidden by expiry.
    """

    snapshot_ids: frozenset[int] = frozenset()
    batch_ids: frozenset[UUID] = frozenset()
    whole: bool = True


NO_LINEAGE = Lineage()
"""That of a table without a snapshot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBatch:
    """A batch that is published, empty or withdrawn, as the ledger has it.

    ``epoch`` and ``ended`` tell in which order batches were published; ``withdrawn_by`` is the batch that
    stands in the place of a withdrawn one: a rewind that took its rows out of the table, or a window counted anew.
    """

    id: UUID
    kind: BatchKind
    window: Window
    status: BatchStatus
    fingerprint: Fingerprint
    revision: int
    snapshot_id: int | None
    epoch: int
    ended: datetime
    withdrawn_by: UUID | None = None

    @property
    def order(self) -> tuple[int, datetime]:
        """The batch's place among those of its stream."""
        return self.epoch, self.ended

    @property
    def holds_rows(self) -> bool:
        """Whether the batch put rows into its window; a rewind takes them out."""
        return self.kind is not BatchKind.REWIND

    @property
    def part(self) -> DonePart:
        """The batch as a part of its window's content."""
        return DonePart(
            kind=PartKind.of(self.kind), window=self.window, fingerprint=self.fingerprint, revision=self.revision
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The batches of a ledger, told apart by what the table proves.

    Attributes:
        kept: those that are done, and stay so; windows without rows among them, which no table can prove.
        withdrawn: those that are done, and are not in the table.
        reinstated: those that were withdrawn, and are in the table again.
    """

    kept: tuple[KnownBatch, ...]
    withdrawn: tuple[KnownBatch, ...]
    reinstated: tuple[KnownBatch, ...]

    @property
    def valid(self) -> tuple[KnownBatch, ...]:
        """The batches that make up windows from now on."""
        return tuple(batch for batch in self.kept + self.reinstated if batch.holds_rows)


def judge(batches: Sequence[KnownBatch], lineage: Lineage, evidence: Evidence | None) -> Judged:
    """Tell which batches the table proves.

    Args:
        batches: what the ledger has of the stream.
        lineage: the table's snapshots; an empty one for a table that is not there.
        evidence: the newest evidence of the table, on its ancestry or repeated by its properties.
    """
    oldest = _oldest_seen(batches, lineage, evidence)
    kept: list[KnownBatch] = []
    withdrawn: list[KnownBatch] = []
    candidates: list[KnownBatch] = []
    for batch in batches:
        seen = batch.id in lineage.batch_ids or batch.snapshot_id in lineage.snapshot_ids
        if batch.status is BatchStatus.WITHDRAWN:
            if seen:
                candidates.append(batch)
        elif batch.status is BatchStatus.EMPTY or seen or (oldest is not None and batch.order <= oldest):
            kept.append(batch)
        else:
            withdrawn.append(batch)
    standing = lineage.batch_ids | {batch.id for batch in kept}
    successors = {batch.id: batch.withdrawn_by for batch in batches}
    reinstated = [batch for batch in candidates if not _overruled(batch.withdrawn_by, successors, standing)]
    return Judged(kept=tuple(kept), withdrawn=tuple(withdrawn), reinstated=tuple(reinstated))


def _overruled(by: UUID | None, successors: Mapping[UUID, UUID | None], standing: Collection[UUID]) -> bool:
    """Tell whether what stands in the place of a batch, or in the place of that, is still standing."""
    while by is not None:
        if by in standing:
            return True
        by = successors.get(by)
    return False


def undecided(batches: Sequence[KnownBatch]) -> Judged:
    """Return the batches of a table whose snapshots prove nothing, neither way: all stay until its rows are counted."""
    kept = tuple(batch for batch in batches if batch.status in _DONE)
    return Judged(kept=kept, withdrawn=(), reinstated=())


def written_until(batches: Iterable[KnownBatch], last: datetime | None) -> datetime | None:
    """Return up to where windows were ever written, as far as a table that proves nothing still holds rows of them.

    A table that was rolled back may hold rows of windows that were withdrawn since: these are counted, too.

    Args:
        batches: what the ledger has of the stream, with what was withdrawn.
        last: instant of the table's last row.
    """
    if last is None:
        return None
    return max((one.window.upper for one in batches if one.fingerprint.rows and one.window.lower <= last), default=None)


def _oldest_seen(
    batches: Sequence[KnownBatch], lineage: Lineage, evidence: Evidence | None
) -> tuple[int, datetime] | None:
    """Return the place up to which expired snapshots prove their batches; ``None`` if none can be expired.

    What was counted in a table that is still to be seen has a place too: all that was done before was in the table.
    """
    if lineage.whole or evidence is None:
        return None
    ids = lineage.batch_ids or {evidence.batch_id}
    seen = (batch for batch in batches if batch.id in ids or batch.snapshot_id in lineage.snapshot_ids)
    return min((batch.order for batch in seen if batch.status in _DONE), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A window that the ledger has from now on; ``recorded`` is what it knows of it, ``None`` where that is unknown."""

    window: Window
    recorded: Content | None


def instants(batches: Iterable[KnownBatch], *, start: datetime, evidence: Evidence | None) -> set[datetime]:
    """Return the instants at which a window may begin or end that a repair looks at, besides the beginnings of days."""
    found = {bound for batch in batches for bound in (batch.window.lower, batch.window.upper)}
    reach = None if evidence is None else evidence.upper
    return found | {start} | (set() if reach is None else {reach})


def stretches(batches: Sequence[KnownBatch], *, start: datetime, reach: datetime | None) -> list[Stretch]:
    """Return the windows that lead from the start as far as the table or the ledger does, contiguous.

    Where windows are missing up to the last one that has rows, its own or late ones, or overlap, nobody knows what the
    table holds: such a stretch is to be counted. Above that windows count as far as they continue.

    Args:
        batches: those that are valid.
        start: where the stream's windows begin.
        reach: the table's last non-empty upper, if it proves one.
    """
    parts = [batch.part for batch in batches]
    live = sorted((part.window for part in parts if _is_live(part, start)), key=lambda window: window.lower)
    # Late rows too: their window may have had none of its own, so that no snapshot speaks of it.
    filled = [part.window.upper for part in parts if part.window.lower >= start and part.fingerprint.rows]
    end = max([start, *filled, *([] if reach is None else [reach])])
    found: list[Stretch] = []
    reached = start
    for window, alone in _merged(live):
        if window.lower > reached:
            if reached >= end:
                break
            found.append(_unknown(reached, min(window.lower, end)))
            if window.lower >= end:
                reached = end
                break
        if alone:
            found.append(Stretch(window=window, recorded=content_of(parts, window)))
        else:
            found.append(_unknown(window.lower, window.upper))
        reached = window.upper
    if reached < end:
        found.append(_unknown(reached, end))
    return found


def _is_live(part: DonePart, start: datetime) -> bool:
    return part.kind is PartKind.WINDOW and part.window.upper > start and part.window.lower >= start


def _merged(windows: Sequence[Window]) -> Iterator[tuple[Window, bool]]:
    """Yield windows that are ascending and disjoint; and whether each of them is one of the given."""
    current: Window | None = None
    alone = True
    for window in windows:
        if current is None or window.lower >= current.upper:
            if current is not None:
                yield current, alone
            current, alone = window, True
        else:
            current, alone = Window(lower=current.lower, upper=max(current.upper, window.upper)), False
    if current is not None:
        yield current, alone


def _unknown(lower: datetime, upper: datetime) -> Stretch:
    return Stretch(window=Window(lower=lower, upper=upper), recorded=None)


def history(batches: Sequence[KnownBatch], start: datetime) -> list[Stretch]:
    """Return the windows below the start that were backfilled, ascending."""
    parts = [batch.part for batch in batches]
    windows = sorted(
        (part.window for part in parts if part.kind is PartKind.WINDOW and part.window.lower < start),
        key=lambda window: window.lower,
    )
    return [Stretch(window=window, recorded=content_of(parts, window)) for window in windows]


def unknown_history(first: datetime | None, start: datetime) -> list[Stretch]:
    """Return the days from a table's first row to the stream's start, of which a ledger that was lost says nothing."""
    return [] if first is None else [Stretch(window=day, recorded=None) for day in days(first, start)]


def runs(windows: Sequence[Window]) -> Iterator[list[Window]]:
    """Cut ascending windows into runs, in each of which one begins where the one before it ends."""
    run: list[Window] = []
    for window in windows:
        if run and run[-1].upper != window.lower:
            yield run
            run = []
        run.append(window)
    if run:
        yield run


def touching(windows: Collection[Window], lower: datetime, upper: datetime) -> bool:
    """Tell whether one of the windows overlaps the closed stretch from ``lower`` to ``upper``."""
    return any(window.lower <= upper and lower < window.upper for window in windows)
