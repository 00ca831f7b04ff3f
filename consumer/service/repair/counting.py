"""Counting what a target table holds, window by window: what the ledger knows of it, and what it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consumer.domain.adoption import Counted, days, windows_of
from consumer.domain.errors import DivergenceError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.held_rows import HeldRows
from consumer.domain.phrasing import counted
from consumer.domain.repair import Stretch
from consumer.domain.stream import Stream
from consumer.domain.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedWindow:
    """A window that is recorded anew: what the ledger had of it (``None``: nothing), and what the table holds."""

    window: Window
    recorded: Fingerprint | None
    found: Fingerprint


def count_windows(
    stream: Stream, live: Sequence[Stretch], below: Sequence[Stretch], held: HeldRows
) -> list[CountedWindow]:
    """Return what the table holds of all windows, and make sure that it holds no other rows.

    Raises:
        DivergenceError: if it does.
    """
    recorded = {one.window: one.recorded for one in (*below, *live) if one.recorded is not None}
    counted_windows = [
        CountedWindow(window=window, recorded=recorded[window].fingerprint, found=found)
        for window, found in zip(recorded, held.tally(list(recorded)), strict=True)
    ]
    unknown = [one.window for one in below if one.recorded is None]
    for window, found in zip(unknown, held.tally(unknown), strict=True):
        # Nobody knows what was asked for; where there are no rows, nothing was.
        if found.rows:
            counted_windows.append(CountedWindow(window=window, recorded=None, found=found))
    for stretch in live:
        if stretch.recorded is None:
            counted_windows += _unknown(stream, stretch.window, held)
    stray = held.rows - sum(one.found.rows for one in counted_windows)
    if stray:
        raise DivergenceError(
            f"stream {stream.name}: the table {stream.target} holds {counted(stray, 'row')} outside of every window"
            " that the ledger or a snapshot speaks of",
            remedy=f"find out who wrote them (`icehaul verify --all {stream.name}` lists files that no batch has"
            " recorded), and roll the table back to the newest snapshot that is right; then run the command again",
        )
    return counted_windows


def _unknown(stream: Stream, whole: Window, held: HeldRows) -> list[CountedWindow]:
    """Count a stretch that the ledger knows nothing of, in windows of the size of batches."""
    first = held.first
    if first is None or first >= whole.upper:
        return [CountedWindow(window=whole, recorded=None, found=EMPTY)]
    pieces = days(max(first, whole.lower), whole.upper)
    pieces[0] = Window(lower=whole.lower, upper=pieces[0].upper)
    cold = [Counted(window=piece, hot=EMPTY, cold=rows) for piece, rows in zip(pieces, held.tally(pieces), strict=True)]
    windows = list(windows_of(cold, whole.lower, stream.bounds))
    reached = windows[-1][0].upper if windows else whole.lower
    if reached < whole.upper:
        windows.append((Window(lower=reached, upper=whole.upper), EMPTY))
    return [CountedWindow(window=window, recorded=None, found=rows) for window, rows in windows]
