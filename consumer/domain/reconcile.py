"""Reconciling: telling from recorded and present contents where late rows may be; pure.

What the ledger records of a window is what was read; what has arrived since is *late*. Looking for it goes from cheap
to exact: partitions whose content has changed, then the counts (or digests) of their windows, then row by row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.inventory import PartitionContent
from consumer.domain.window import Window

HASH_BUCKETS = 64
"""Into how many buckets rows are put by their hash, so that only those that differ are compared row by row."""

LATE_ROWS_MAX = 100_000
"""Distinct late rows that one supplement takes; the rest follows with the next."""


class FindingKind(StrEnum):
    """What was found in the hot tier, and is an operator's to settle."""

    CHANGED = "changed"
    DELETED = "deleted"
    TOO_LATE = "too-late"
    GAP = "gap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that icehaul reports and does not settle by itself: ``rows`` of the window are concerned.

    ``accepted`` tells whether an operator has taken note of it.
    """

    kind: FindingKind
    window: Window
    rows: int
    detail: str
    accepted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSpan:
    """First and last instant of a partition (inclusive), and how many of its rows are at or above a watermark."""

    first: datetime
    last: datetime
    pending: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedPartition:
    """A partition as it was when its rows below ``watermark`` were last compared with the record.

    ``exact`` tells whether digests were compared, or counts only.
    """

    id: str
    content: PartitionContent
    span: PartitionSpan
    watermark: datetime
    exact: bool

    def settled(self) -> ComparedPartition:
        """Return the partition without rows that still had to be read."""
        return replace(self, span=replace(self.span, pending=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedWindow:
    """A window that is done, as the ledger records it.

    ``cold`` is what was published of it, supplements included; ``hot`` is what the hot tier is known to hold of it:
    the same, unless rows were found to have gone or changed. ``revision`` is how often its rows have been replaced.
    """

    window: Window
    cold: Fingerprint
    hot: Fingerprint
    revision: int = 0


class PartKind(StrEnum):
    """What a batch that is done is to the content of its window: its kind, by the same names."""

    WINDOW = "window"
    SUPPLEMENT = "supplement"
    REPLACEMENT = "replace-window"

    @classmethod
    def of(cls, kind: str) -> PartKind:
        """Return what a batch of this kind is to its window: one that was backfilled is a window like others."""
        return cls.WINDOW if kind == "backfill" else cls(kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class DonePart:
    """One batch that is done: a window, a supplement to one, or a replacement of one's rows.

    ``revision`` is how often the window's rows had been replaced with this batch.
    """

    kind: PartKind
    window: Window
    fingerprint: Fingerprint
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What is recorded of one window, and how often its rows have been replaced."""

    fingerprint: Fingerprint
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LateRow:
    """A full-row hash that the hot tier holds ``rows`` times more often than the cold tier."""

    hash: int
    rows: int
    instant: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The multiset difference of a window's rows by full-row hash.

    Attributes:
        late: rows of the hot tier only that may be added, ``LATE_ROWS_MAX`` distinct ones at most.
        missing: how many rows are in the hot tier only.
        refused: how many of these are too late to be added.
        surplus: how many rows are in the cold tier only.
        lost: how many rows of the cold tier only have no counterpart with the same sorting key in the hot tier: they
            were not changed there, but have gone.
        hot: fingerprint of the rows of the hot tier, as they were before the late ones were looked for.
        cold: fingerprint of the rows of the cold tier that they were compared with.
    """

    late: tuple[LateRow, ...]
    missing: int
    refused: int
    surplus: int
    lost: int
    hot: Fingerprint
    cold: Fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A partition whose rows have to be compared; by digest where ``exact``, else by count.

    ``fresh`` tells that it was never compared before, so that nobody knows which mutations its rows were read after;
    ``whole`` that the first block of then is still there, so that no partition was dropped and filled again.
    """

    id: str
    content: PartitionContent
    exact: bool
    mutated: bool
    fresh: bool = False
    whole: bool = False

    def doubtful(self, first: datetime, observed: datetime) -> bool:
        """Tell whether a count proves nothing, for rows of the partition were read before it was first seen.

        They were inserted after the partitions were looked at and before they were read, or the partition had been
        there before, and had gone.

        Args:
            first: the partition's first instant.
            observed: the watermark when the partitions were looked at.
        """
        return self.fresh and first < observed


def recorded_windows(parts: Iterable[DonePart], hot: Mapping[datetime, Fingerprint]) -> list[RecordedWindow]:
    """Return what is recorded of each window, ascending.

    Args:
        parts: every window of a stretch that is done, and the supplements of these windows.
        hot: what the hot tier was last found to hold of those windows where that differs, by lower bound.
    """
    ordered = sorted(parts, key=lambda part: (part.window.lower, part.kind is not PartKind.WINDOW))
    windows: list[tuple[Window, list[DonePart]]] = []
    for part in ordered:
        if part.kind is PartKind.WINDOW:
            windows.append((part.window, [part]))
        # A window that is empty may have been extended after a supplement to it.
        elif windows and windows[-1][0].contains(part.window.lower):
            windows[-1][1].append(part)
    return [_recorded(window, inside, hot) for window, inside in windows]


def _recorded(window: Window, parts: Sequence[DonePart], hot: Mapping[datetime, Fingerprint]) -> RecordedWindow:
    content = content_of(parts, window)
    cold = content.fingerprint
    return RecordedWindow(window=window, cold=cold, hot=hot.get(window.lower, cold), revision=content.revision)


def content_of(parts: Iterable[DonePart], window: Window) -> Content:
    """Return what is recorded of one window: the sum over the batches inside it since its rows were last replaced."""
    inside = [part for part in parts if window.lower <= part.window.lower < window.upper]
    revision = max((part.revision for part in inside), default=0)
    valid = (part.fingerprint for part in inside if part.revision == revision)
    return Content(fingerprint=sum(valid, EMPTY), revision=revision)


def find_suspects(
    recorded: Mapping[str, ComparedPartition],
    contents: Mapping[str, PartitionContent],
    *,
    closed: str | None,
    again: Collection[str] = (),
    versions: bool = False,
) -> tuple[Suspect, ...]:
    """Return the partitions that have to be compared again, by id.

    An insert changes the count of some window, so counts do for a partition that merely grew. A mutation may leave
    the counts as they were, and a partition that is closed is compared by digest once for each content.

    Args:
        recorded: the partitions as they were last compared.
        contents: what they hold now; read before anything that is compared.
        closed: id of the partition that an event says is closed, if it is about one.
        again: ids of partitions that are compared by digest whatever is known of them.
        versions: whether an insert may bring another version of a row, which leaves the count as it was.
    """
    suspects = []
    for id_, content in sorted(contents.items()):
        known = recorded.get(id_)
        mutated = known is not None and known.content.data_version != content.data_version
        unproven = id_ == closed and (known is None or not known.exact)
        if known is not None and known.content == content and not unproven and id_ not in again:
            continue
        exact = versions or mutated or id_ == closed or id_ in again
        whole = known is not None and content.min_block <= known.content.min_block
        suspects.append(
            Suspect(id=id_, content=content, exact=exact, mutated=mutated, fresh=known is None, whole=whole)
        )
    return tuple(suspects)


def read_already(
    recorded: Mapping[str, ComparedPartition], contents: Mapping[str, PartitionContent], watermark: datetime
) -> bool:
    """Tell whether every row is certainly below the watermark: the last one of each partition was, and none was added.

    How many rows were pending would not do, for an operator who accepts a gap settles those of all partitions. A source
    without any partition proves nothing either.
    """
    known = [recorded.get(id_) for id_ in contents]
    return bool(known) and all(
        each is not None and each.content == contents[each.id] and each.span.last < watermark for each in known
    )


def find_vanished(
    recorded: Mapping[str, ComparedPartition], contents: Mapping[str, PartitionContent]
) -> tuple[ComparedPartition, ...]:
    """Return the partitions that are gone although they held rows that had not been read."""
    return tuple(known for id_, known in sorted(recorded.items()) if known.span.pending and id_ not in contents)


def find_shrunk(
    recorded: Mapping[str, ComparedPartition], contents: Mapping[str, PartitionContent]
) -> tuple[ComparedPartition, ...]:
    """Return the partitions with unread rows from which rows may have gone without a mutation: by TTL.

    What a mutation deletes before it was first read is the source's own decision, and not promised.
    """
    return tuple(
        known
        for id_, known in sorted(recorded.items())
        if known.span.pending
        and id_ in contents
        and contents[id_].data_version == known.content.data_version
        and contents[id_] != known.content
    )


def differing(windows: Sequence[RecordedWindow], found: Sequence[Fingerprint], *, exact: bool) -> list[RecordedWindow]:
    """Return the windows whose count (or digest, where ``exact``) is not the recorded one."""
    return [
        recorded
        for recorded, now in zip(windows, found, strict=True)
        if recorded.hot.rows != now.rows or (exact and recorded.hot.digest != now.digest)
    ]
