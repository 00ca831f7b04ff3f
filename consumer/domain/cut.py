"""A consistent cut: one instant, and for each stream the snapshot that holds every row below it.

The rows of the cut are the rows of those snapshots below the instant. A snapshot whose window straddles the instant
holds rows above it as well, so whoever reads a cut filters by time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from consumer.domain.planning import floor_to_span
from consumer.domain.stream import Stream
from consumer.domain.window import END_OF_TIME, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class PastSnapshot:
    """A snapshot of a table's current ancestry.

    Attributes:
        snapshot_id: its id in Iceberg.
        window: the window whose rows it added; ``None`` for one that went on with what stood there (a compaction, a
            commit of another engine).
        proved: the upper bound of the last window that it proves to be in the table, if it says so.
        rewound: the instant from which on it has taken all rows out; ``None`` for one that is no rewind.
    """

    snapshot_id: int
    window: Window | None
    proved: datetime | None
    rewound: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The current snapshot and its ancestors, newest first.

    ``whole`` tells whether they reach back to the table's first snapshot, so that none of them has expired; ``tags``
    are the table's tags with the snapshots that they name.
    """

    snapshots: Sequence[PastSnapshot] = ()
    whole: bool = True
    tags: Mapping[str, int] = field(default_factory=dict)


class Fit(StrEnum):
    """How a stream's part of a cut stands in its table."""

    EXACT = "exact"
    """The snapshot holds the rows below the cut, and no others."""
    STRADDLES = "straddles"
    """The snapshot holds the rows below the cut, and rows above it: filter by time."""
    NO_ROWS = "no rows"
    """The stream had no row below the cut, and its table no snapshot."""
    NOT_RETAINED = "not retained"
    """The snapshot has expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One stream's part of a cut; ``upper`` is the end of the snapshot's last window, where it is known."""

    fit: Fit
    snapshot_id: int | None = None
    upper: datetime | None = None


def bound_of(stream: Stream, cut: datetime) -> datetime:
    """Return the instant below which a stream's rows belong to a cut.

    Rows with a span are derived from everything up to its end, so they count as far as the cut covers whole spans.
    """
    return floor_to_span(cut, stream.row_span) if stream.row_span else cut


def find_part(history: History, below: datetime) -> Part:
    """Return the newest snapshot of a table that was made before any window that begins at or above ``below``.

    Windows follow each other without gaps, so that snapshot holds every row below ``below``; its own last window may
    end above it. What it was before the windows that came later, it stays: a row that arrived late, and was added
    after one of them, is not in it. A rewind has taken out what older snapshots have added from its instant on.
    """
    chosen: PastSnapshot | None = None
    left = END_OF_TIME
    for snapshot in history.snapshots:
        if snapshot.rewound is not None:
            left = min(left, snapshot.rewound)
        if snapshot.window is None:
            chosen = chosen or snapshot
        elif snapshot.window.lower >= left:
            continue
        elif snapshot.window.lower >= below:
            chosen = None
        else:
            return _part(chosen or snapshot, min(snapshot.window.upper, left), below)
    if chosen is not None and left <= below:
        return Part(fit=Fit.EXACT, snapshot_id=chosen.snapshot_id, upper=left)
    if chosen is not None and chosen.proved is not None and chosen.proved <= below:
        return Part(fit=Fit.EXACT, snapshot_id=chosen.snapshot_id, upper=chosen.proved)
    if not history.whole:
        return Part(fit=Fit.NOT_RETAINED)
    if chosen is None:
        return Part(fit=Fit.NO_ROWS)
    # Rows of a writer before icehaul: nobody can tell where they end.
    return Part(fit=Fit.STRADDLES, snapshot_id=chosen.snapshot_id)


def _part(chosen: PastSnapshot, upper: datetime, below: datetime) -> Part:
    fit = Fit.EXACT if upper <= below else Fit.STRADDLES
    return Part(fit=fit, snapshot_id=chosen.snapshot_id, upper=upper)
