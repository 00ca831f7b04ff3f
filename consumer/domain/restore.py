"""Restoring: which rows of the cold tier come back into a ClickHouse table, and what proves that they are the same."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise

from consumer.domain.batch import BatchKind
from consumer.domain.errors import DivergenceError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.reconcile import RecordedWindow
from consumer.domain.stream import Stream, TableName
from consumer.domain.window import Window

_MARK = "icehaul restore: "
_PREFIX = "icehaul_restore_"
_STEM_LENGTH = 80
_REPLACED = frozenset({BatchKind.REPLACE, BatchKind.REWIND})


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreChoice:
    """What an operator wants back, and where.

    Attributes:
        into: table that the rows go to.
        within: the stretch of time; every row of the cold tier lies in it where nothing was named.
        snapshot: id of a snapshot, or name of a tag; ``None`` for the current snapshot.
        create: whether the table is made where there is none.
        accept_loss: whether columns are restored that have lost something on their way to Iceberg.
    """

    into: TableName
    within: Window
    snapshot: int | str | None = None
    create: bool = False
    accept_loss: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a snapshot says to have done to a window since the one that is restored."""

    kind: BatchKind
    window: Window
    fingerprint: Fingerprint

    def touches(self, window: Window) -> bool:
        """Tell whether it is about rows of a window; a rewind is about all from its instant on."""
        if self.kind is BatchKind.REWIND:
            return window.upper > self.window.lower
        return self.window.lower < window.upper and window.lower < self.window.upper


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch between two neighbouring bounds of windows and of what was asked for.

    ``recorded`` is the number of the window that it is a part of, ``None`` where the ledger has none; ``wanted`` tells
    whether its rows are to be restored.
    """

    window: Window
    recorded: int | None
    wanted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredWindow:
    """A stretch whose rows are restored, all of one window at most.

    ``proved`` tells whether its window has just the rows in the files that the ledger has recorded of it.
    """

    window: Window
    fingerprint: Fingerprint
    proved: bool


def pieces_of(within: Window, windows: Sequence[Window]) -> Sequence[Piece]:
    """Cut a stretch, and the windows that overlap it, at all of their bounds; contiguous and ascending.

    Args:
        within: what was asked for.
        windows: windows that the ledger has recorded, disjoint and ascending, all of which overlap it.
    """
    bounds = sorted({bound for one in (within, *windows) for bound in (one.lower, one.upper)})
    pieces: list[Piece] = []
    number = 0
    for lower, upper in pairwise(bounds):
        while number < len(windows) and windows[number].upper <= lower:
            number += 1
        inside = number < len(windows) and windows[number].contains(lower)
        piece = Window(lower=lower, upper=upper)
        pieces.append(Piece(window=piece, recorded=number if inside else None, wanted=within.contains(lower)))
    return pieces


def prove(
    stream: Stream,
    windows: Sequence[RecordedWindow],
    pieces: Sequence[Piece],
    found: Sequence[Fingerprint],
    changes: Sequence[Change],
) -> Sequence[RestoredWindow]:
    """Return what is to be restored, once the cold tier is proved to hold just what the ledger has recorded.

    Args:
        stream: the stream whose target is read.
        windows: the windows that overlap the stretch, as the ledger has them now.
        pieces: the same, cut into pieces.
        found: what the snapshot's files hold of each piece.
        changes: what later snapshots have done.

    Raises:
        DivergenceError: if a window holds other rows, or there are rows that belong to no window.
    """
    contents = [EMPTY] * len(windows)
    for piece, fingerprint in zip(pieces, found, strict=True):
        if piece.recorded is not None:
            contents[piece.recorded] += fingerprint
    proved = [_proved(stream, one, here, changes) for one, here in zip(windows, contents, strict=True)]
    restored = []
    for piece, fingerprint in zip(pieces, found, strict=True):
        if not piece.wanted or not fingerprint.rows:
            continue
        sure = piece.recorded is not None and proved[piece.recorded]
        if piece.recorded is None and not _replaced(piece.window, changes):
            raise _differs(stream, piece.window, fingerprint, None)
        restored.append(RestoredWindow(window=piece.window, fingerprint=fingerprint, proved=sure))
    return restored


def _proved(stream: Stream, recorded: RecordedWindow, found: Fingerprint, changes: Sequence[Change]) -> bool:
    """Tell whether the ledger proves a window's rows; it forgets those that were replaced or taken out since."""
    if _replaced(recorded.window, changes):
        return False
    since = sum((one.fingerprint for one in changes if recorded.window.contains(one.window.lower)), EMPTY)
    if found + since != recorded.cold:
        raise _differs(stream, recorded.window, found, recorded.cold)
    return True


def _replaced(window: Window, changes: Sequence[Change]) -> bool:
    return any(one.kind in _REPLACED and one.touches(window) for one in changes)


def _differs(stream: Stream, window: Window, found: Fingerprint, recorded: Fingerprint | None) -> DivergenceError:
    says = "has recorded no window there"
    if recorded is not None:
        says = f"has recorded {recorded.rows} rows with digest {recorded.hex}"
    return DivergenceError(
        f"stream {stream.name}: the data files of {stream.target} hold {found.rows} rows of {window} with digest"
        f" {found.hex}, and the ledger {says}",
        remedy=f"find out with `icehaul verify --all {stream.name}` what was changed, and put it back; or restore"
        " stretches of time, or a snapshot, that it does not concern",
    )


# ---------------------------------------------------------------------------------------- staging tables


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreMark:
    """What the comment of a staging table says: whose rows it is for, and which table they go to."""

    stream: str
    into: str

    def comment(self) -> str:
        """Return the comment."""
        return _MARK + json.dumps({"stream": self.stream, "into": self.into})

    @classmethod
    def parse(cls, comment: str) -> RestoreMark | None:
        """Read a comment; ``None`` if it is another one."""
        if not comment.startswith(_MARK):
            return None
        try:
            said = json.loads(comment.removeprefix(_MARK))
            return cls(stream=str(said["stream"]), into=str(said["into"]))
        except (ValueError, KeyError, TypeError):
            return None


def staging_table(into: TableName, run: str) -> TableName:
    """Return the staging table of one run, beside the table that its rows go to.

    Each run has its own: what a process does that was taken for dead reaches no other one's rows.
    """
    return TableName(database=into.database, table=f"{staging_prefix(into)}{run}")


def staging_prefix(into: TableName) -> str:
    """Return what the names of all staging tables for a table begin with."""
    stem = into.table
    if len(stem) > _STEM_LENGTH:
        stem = f"{stem[: _STEM_LENGTH - 9]}_{sha256(stem.encode()).hexdigest()[:8]}"
    return f"{_PREFIX}{stem}_"


def is_staging(into: TableName, table: str) -> bool:
    """Tell whether a name is that of a staging table for a table."""
    return re.fullmatch(rf"{re.escape(staging_prefix(into))}[0-9a-f]{{12}}", table) is not None


def looks_staged(table: TableName) -> bool:
    """Tell whether a table's name is one that only staging tables should have."""
    return table.table.startswith(_PREFIX)
