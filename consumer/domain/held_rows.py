"""What data files hold, counted by one reading of each: by file and stretch of time, and from that by window; pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.window import PartitionBy, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """The rows of one data file from one bound to the next.

    Attributes:
        path: the file.
        lower: where the stretch begins: the greatest bound, or beginning of a day (UTC), that is not above its rows.
        fingerprint: count and digest.
        first: instant of the first row.
        last: instant of the last row.
    """

    path: str
    lower: datetime
    fingerprint: Fingerprint
    first: datetime
    last: datetime


class HeldRows:
    """The rows of a table's live data files, of which windows can be made without reading any again.

    Args:
        parts: what each file holds; files without rows have none.
        bounds: the instants that were counted by, besides the days.
    """

    def __init__(self, parts: Sequence[FilePart], bounds: Collection[datetime]) -> None:
        self._parts = sorted(parts, key=lambda part: (part.lower, part.path))
        self._lowers = [part.lower for part in self._parts]
        self._bounds = frozenset(bounds)
        self._files: defaultdict[str, Fingerprint] = defaultdict(lambda: EMPTY)
        for part in parts:
            self._files[part.path] += part.fingerprint

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(part.fingerprint.rows for part in self._parts)

    @property
    def first(self) -> datetime | None:
        """Instant of the first row; ``None`` where there is none."""
        return min((part.first for part in self._parts), default=None)

    @property
    def last(self) -> datetime | None:
        """Instant of the last row; ``None`` where there is none."""
        return max((part.last for part in self._parts), default=None)

    def tally(self, windows: Sequence[Window]) -> list[Fingerprint]:
        """Return count and digest of the rows in each of the windows.

        Raises:
            ValueError: if a window begins or ends where nothing was counted by.
        """
        return [sum((part.fingerprint for part in self._inside(window)), EMPTY) for window in windows]

    def files(self, window: Window) -> dict[str, Fingerprint]:
        """Return the files that hold rows of a window, with count and digest of all their rows.

        Raises:
            ValueError: as :meth:`tally` does.
        """
        return {part.path: self._files[part.path] for part in self._inside(window)}

    def _inside(self, window: Window) -> Sequence[FilePart]:
        for bound in (window.lower, window.upper):
            if bound not in self._bounds and bound != PartitionBy.DAY.floor(bound):
                raise ValueError(f"rows were not counted by {bound.isoformat()}")
        return self._parts[bisect_left(self._lowers, window.lower) : bisect_left(self._lowers, window.upper)]
