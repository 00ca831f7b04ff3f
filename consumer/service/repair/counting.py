"""Counting what a target table holds, window by window: what the ledger knows of it, and what it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consumer.domain.adoption import Counted, days, windows_of
from consumer.domain.errors import DivergenceError
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.phrasing import counted
from consumer.domain.repair import Stretch, runs
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.ports import Extent
from consumer.service.adoption.ports import FileSource


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedWindow:
    """A window that is recorded anew: what the ledger had of it (``None``: nothing), and what the table holds."""

    window: Window
    recorded: Fingerprint | None
    found: Fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a table holds: its live data files, and how many rows from when to when."""

    paths: Sequence[str]
    extent: Extent


class WindowCounter:
    """Counts rows of windows in a table's data files; reads each file once for each run of windows."""

    def __init__(self, source: FileSource) -> None:
        self._source = source

    def count(
        self,
        stream: Stream,
        mapping: TableMapping,
        live: Sequence[Stretch],
        below: Sequence[Stretch],
        held: Held,
    ) -> list[CountedWindow]:
        """Count the rows of all windows in the table, and make sure that there are no others.

        Raises:
            DivergenceError: if the table holds rows outside of all windows.
        """
        counted_windows: list[CountedWindow] = []
        recorded = {one.window: one.recorded for one in (*below, *live) if one.recorded is not None}
        for run in runs(list(recorded)):
            for window, found in zip(run, self._tally(stream, mapping, run, held.paths), strict=True):
                counted_windows.append(CountedWindow(window=window, recorded=recorded[window].fingerprint, found=found))
        unknown = [one.window for one in below if one.recorded is None]
        if unknown:
            for window, found in zip(unknown, self._tally(stream, mapping, unknown, held.paths), strict=True):
                # Nobody knows what was asked for; where there are no rows, nothing was.
                if found.rows:
                    counted_windows.append(CountedWindow(window=window, recorded=None, found=found))
        for stretch in live:
            if stretch.recorded is None:
                counted_windows += self._unknown(stream, mapping, stretch.window, held)
        stray = held.extent.rows - sum(one.found.rows for one in counted_windows)
        if stray:
            raise DivergenceError(
                f"stream {stream.name}: the table {stream.target} holds {counted(stray, 'row')} outside of every window"
                " that the ledger or a snapshot speaks of",
                remedy=f"find out who wrote them (`icehaul verify --all {stream.name}` lists files that no batch has"
                " recorded), and roll the table back to the newest snapshot that is right; then run the command again",
            )
        return counted_windows

    def _unknown(self, stream: Stream, mapping: TableMapping, whole: Window, held: Held) -> list[CountedWindow]:
        """Count a stretch that the ledger knows nothing of, in windows of the size of batches."""
        first = held.extent.first
        if first is None or first >= whole.upper:
            return [CountedWindow(window=whole, recorded=None, found=EMPTY)]
        pieces = days(max(first, whole.lower), whole.upper)
        pieces[0] = Window(lower=whole.lower, upper=pieces[0].upper)
        found = self._tally(stream, mapping, pieces, held.paths)
        cold = [Counted(window=piece, hot=EMPTY, cold=rows) for piece, rows in zip(pieces, found, strict=True)]
        windows = list(windows_of(cold, whole.lower, stream.bounds))
        reached = windows[-1][0].upper if windows else whole.lower
        if reached < whole.upper:
            windows.append((Window(lower=reached, upper=whole.upper), EMPTY))
        return [CountedWindow(window=window, recorded=None, found=rows) for window, rows in windows]

    def _tally(
        self, stream: Stream, mapping: TableMapping, windows: Sequence[Window], paths: Sequence[str]
    ) -> Sequence[Fingerprint]:
        if not paths:
            return [EMPTY] * len(windows)
        return self._source.tally_files(stream, mapping.as_recorded, windows, paths)
