"""Comparing slices: both tiers are read in bounded queries, several at once; what differs is then looked at closely."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, zip_longest

from consumer.domain.differing import Differing, DifferingRow
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.mapping import TableMapping
from consumer.domain.slices import Slice, runs_of
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.ports import TargetTable
from consumer.service.verifying.parallel import Progress, Work, run_all
from consumer.service.verifying.ports import VerifiedSource

_ROWS_AT_ONCE = 5_000_000
"""About how many rows one query reads, so that it takes seconds, and little of the server's memory."""

_FILES_AT_ONCE = 64

THREADS = 2
"""Queries at once, unless something else is asked for: each of them uses several cores of the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How both tiers are read.

    Attributes:
        threads: how many queries run at once.
        rows: how many of the rows that differ are returned.
        rows_at_once: about how many rows one query reads.
        progress: called after each query.
    """

    threads: int = THREADS
    rows: int = 0
    rows_at_once: int = _ROWS_AT_ONCE
    progress: Callable[[Progress], None] = lambda _progress: None


PLAINLY = Reading()
"""The way of reading unless something else is asked for: no rows, no progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceDifference:
    """A slice in which the tiers differ: what each holds of it, how many rows are in one only, and some of them."""

    window: Window
    hot: Fingerprint
    dropped: Fingerprint
    cold: Fingerprint
    missing: int
    surplus: int
    rows: Sequence[DifferingRow] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What both tiers hold of all slices, and the slices in which they differ, ascending."""

    hot: Fingerprint
    cold: Fingerprint
    differences: Sequence[SliceDifference]


@dataclass(frozen=True, slots=True)
class _Part:
    """What one query found: the fingerprints of some slices, in one tier; ``paths`` are the data files that it read."""

    slices: Sequence[Slice]
    found: Sequence[Fingerprint]
    paths: Sequence[str] = ()


class SliceComparison:
    """Compares the slices of one stream; every method may raise what the source raises."""

    def __init__(self, source: VerifiedSource, stream: Stream, mapping: TableMapping, reading: Reading) -> None:
        self._source = source
        self._stream = stream
        self._mapping = mapping
        self._reading = reading

    def compare(
        self, slices: Sequence[Slice], target: TargetTable | None, paths: Sequence[str], *, every: bool
    ) -> Compared:
        """Compare slices, which are contiguous and ascending, with the rows of data files of the target.

        With ``every``, rows of the files that lie in no slice count to the last one.
        """
        parts = self._read(slices, target, paths, every=every)
        hot, cold = _by_slice(part for part in parts if not part.paths), _by_slice(part for part in parts if part.paths)
        unequal = [
            SliceDifference(
                window=one.window,
                hot=hot.get(one.window, EMPTY),
                dropped=one.dropped,
                cold=cold.get(one.window, EMPTY),
                missing=0,
                surplus=0,
            )
            for one in slices
            if not self._alike(hot.get(one.window, EMPTY), one.dropped, cold.get(one.window, EMPTY))
        ]
        belongs = {one.window: one.belongs for one in slices}
        return Compared(
            hot=sum(hot.values(), EMPTY),
            cold=sum(cold.values(), EMPTY),
            differences=self._look_closely(unequal, belongs, parts),
        )

    def _alike(self, hot: Fingerprint, dropped: Fingerprint, cold: Fingerprint) -> bool:
        if hot + dropped == cold:
            return True
        # What was dropped was hashed with columns that the source has no longer: its count is left to compare.
        forgotten = dropped.rows > 0 and self._mapping.recorded is not None
        return forgotten and hot.rows + dropped.rows == cold.rows

    def _read(
        self, slices: Sequence[Slice], target: TargetTable | None, paths: Sequence[str], *, every: bool
    ) -> list[_Part]:
        hot, cold = list(self._hot(slices)), list(self._cold(slices, target, paths, every=every))
        # By turns, so that the pace until now is one of both tiers.
        work = [one for one in chain.from_iterable(zip_longest(hot, cold)) if one is not None]
        return run_all(work, threads=self._reading.threads, progress=self._reading.progress)

    def _hot(self, slices: Sequence[Slice]) -> Iterator[Work[_Part]]:
        for run in runs_of(slices, self._reading.rows_at_once):
            yield Work(run=partial(self._tally, run), rows=sum(one.recorded for one in run))

    def _cold(
        self, slices: Sequence[Slice], target: TargetTable | None, paths: Sequence[str], *, every: bool
    ) -> Iterator[Work[_Part]]:
        if target is None or not paths:
            return
        # The catalog tells the sums of all live files; of a range, these are about as large as the others.
        recorded = sum(one.recorded for one in slices)
        rows = max(recorded // len(paths), 1)
        size = target.bytes * rows // target.rows if target.rows else 0
        together = max(1, min(_FILES_AT_ONCE, self._reading.rows_at_once // rows))
        for first in range(0, len(paths), together):
            chunk = paths[first : first + together]
            run = partial(self._tally_files, slices, chunk, every=every)
            yield Work(run=run, rows=rows * len(chunk), bytes=size * len(chunk))

    def _tally(self, slices: Sequence[Slice]) -> _Part:
        windows = [one.window for one in slices]
        return _Part(slices, self._source.tally(self._stream, self._mapping, windows, exact=True))

    def _tally_files(self, slices: Sequence[Slice], paths: Sequence[str], *, every: bool) -> _Part:
        tally = self._source.tally_every if every else self._source.tally_files
        return _Part(slices, tally(self._stream, self._mapping, [one.window for one in slices], paths), paths)

    def _look_closely(
        self, unequal: Sequence[SliceDifference], belongs: Mapping[Window, bool], parts: Sequence[_Part]
    ) -> list[SliceDifference]:
        wanted = self._reading.rows
        # Where one tier has nothing, as it is with all that a TTL has taken, all of the other one differs.
        close = [one for number, one in enumerate(unequal) if number < wanted or (one.hot.rows and one.cold.rows)]
        work = [
            Work(
                run=partial(self._differing, one.window, _files_with(one.window, parts), belongs=belongs[one.window]),
                rows=one.hot.rows + one.cold.rows,
            )
            for one in close
        ]
        looked = run_all(work, threads=self._reading.threads, progress=self._reading.progress)
        found = {one.window: differing for one, differing in zip(close, looked, strict=True)}
        differences = []
        for one in unequal:
            hot = one.hot.rows if belongs[one.window] else 0
            differing = found.get(one.window) or Differing(missing=hot, surplus=one.cold.rows)
            # What was dropped is in the cold tier only, too; no hash of it is known.
            known = one.cold.rows if not belongs[one.window] else max(differing.surplus - one.dropped.rows, 0)
            rows = differing.rows[:wanted]
            wanted -= len(rows)
            differences.append(replace(one, missing=differing.missing, surplus=known, rows=rows))
        return differences

    def _differing(self, window: Window, paths: Sequence[str], *, belongs: bool) -> Differing:
        most = self._reading.rows
        return self._source.differing(self._stream, self._mapping, window, paths, belongs=belongs, most=most)


def _by_slice(parts: Iterator[_Part]) -> dict[Window, Fingerprint]:
    total: dict[Window, Fingerprint] = {}
    for part in parts:
        for one, found in zip(part.slices, part.found, strict=True):
            if found != EMPTY:
                total[one.window] = total.get(one.window, EMPTY) + found
    return total


def _files_with(window: Window, parts: Sequence[_Part]) -> list[str]:
    """Return the files that were read together with one that holds rows of a slice, whatever its manifest says."""
    return [
        path
        for part in parts
        for one, found in zip(part.slices, part.found, strict=True)
        if one.window == window and found != EMPTY
        for path in part.paths
    ]
