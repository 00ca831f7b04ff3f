"""The data files that a rewind takes out of the table, and the rows of them that are written anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from consumer.domain.batch import KeptRows, Unit
from consumer.domain.fingerprint import EMPTY
from consumer.domain.mapping import TableMapping
from consumer.domain.replacement import FileShare
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.ports import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a rewind does to data files.

    Attributes:
        paths: files that go.
        units: what is read from them, and written anew: rows below the instant.
        own: those units that hold rows of the window that straddles the instant; others hold those of other windows.
    """

    paths: tuple[str, ...] = ()
    units: tuple[Unit, ...] = ()
    own: frozenset[int] = frozenset()

    @property
    def rewritten(self) -> int:
        """How many rows are written anew."""
        return sum(unit.rows for unit in self.units)


class FileTaker:
    """Finds the files of a stream's target that a rewind takes out."""

    def __init__(self, source: Source, stream: Stream, mapping: TableMapping) -> None:
        self._source = source
        self._stream = stream
        self._mapping = mapping

    def take(self, rest: Window, paths: Sequence[str], below: Window | None) -> Taken:
        """Return which files hold rows of the ``rest``, and what has to stay of them.

        Rows of the window that straddles the instant, whose part ``below`` it stays, are told apart from those of other
        windows, which are in the same files once another engine has put files together.

        Raises:
            StreamError, TransientError: as the source raises them.
        """
        going = [share for share in self._shares(rest, paths) if share.inside.rows]
        cut = [share for share in going if share.outside.rows]
        names = [share.path for share in cut]
        around = rest
        mine: Sequence[FileShare | None] = [None] * len(cut)
        if below is not None:
            around = Window(lower=below.lower, upper=rest.upper)
            mine = self._shares(below, names)
        units: list[Unit] = []
        own: set[int] = set()
        for share, part, other in zip(cut, mine, self._shares(around, names), strict=True):
            for kept, first in _kept(rest, around, share, part, other):
                if kept.inside is not None:
                    own.add(len(units))
                units.append(_unit(len(units), self._stream, kept, first))
        return Taken(paths=tuple(share.path for share in going), units=tuple(units), own=frozenset(own))

    def _shares(self, window: Window, paths: Sequence[str]) -> Sequence[FileShare]:
        return self._source.file_shares(self._stream, self._mapping.as_recorded, window, paths) if paths else ()


def _kept(
    rest: Window, around: Window, share: FileShare, part: FileShare | None, other: FileShare
) -> Iterator[tuple[KeptRows, datetime]]:
    """Yield what stays of a file, with the first instant of it: of the window that straddles, then of others."""
    if part is not None and part.first is not None:
        inside = Window(lower=around.lower, upper=rest.lower)
        yield KeptRows(path=share.path, outside=rest, fingerprint=part.inside, inside=inside), part.first
    if other.elsewhere is not None and other.outside != EMPTY:
        yield KeptRows(path=share.path, outside=around, fingerprint=other.outside), other.elsewhere


def _unit(index: int, stream: Stream, kept: KeptRows, first: datetime) -> Unit:
    partition = Window(lower=stream.partition_by.floor(first), upper=stream.partition_by.ceil(first))
    return Unit(index=index, window=partition, rows=kept.fingerprint.rows, kept=kept)
