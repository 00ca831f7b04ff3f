"""Simulated time: it jumps from quarter hour to quarter hour, and passes as fast as real time in between."""

from __future__ import annotations

import time
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from consumer.domain.time_type import from_micros, to_micros
from consumer.domain.window import MICROSECOND

_NS_PER_US = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Anchor:
    """From ``real_ns`` on (nanoseconds since 1970) it was ``micros``, and servers said ``ahead`` microseconds more."""

    real_ns: int
    micros: int
    ahead: int


class SimulatedClock:
    """A clock that one process sets and others read, through a file that only grows.

    Args:
        path: the file; there need be none before the clock is set.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = -1
        self._anchors: list[_Anchor] = []

    def set(self, instant: datetime, *, ahead: timedelta = timedelta(0)) -> None:
        """Let it be ``instant`` now; servers say ``ahead`` more (or less), as if their clock were wrong.

        Raises:
            ValueError: if that is before what it was already.
        """
        if self._path.exists() and instant < self.true():
            raise ValueError(f"{instant} is over: it is {self.true()}")
        line = f"{time.time_ns()} {to_micros(instant)} {ahead // MICROSECOND}\n"
        with self._path.open("a", encoding="ascii") as file:
            file.write(line)

    def true(self) -> datetime:
        """Return what time it is."""
        anchor = self._read()[-1]
        return from_micros(anchor.micros + (time.time_ns() - anchor.real_ns) // _NS_PER_US)

    def told(self) -> datetime:
        """Return what servers say that it is."""
        return self.true() + self._read()[-1].ahead * MICROSECOND

    def at(self, real: datetime) -> datetime:
        """Return what servers said at an instant of real time; what is before the first setting is taken for that."""
        anchors = self._read()
        # Servers tell times of change in whole seconds.
        real_ns = to_micros(real) * _NS_PER_US
        anchor = anchors[max(0, bisect_right([one.real_ns for one in anchors], real_ns) - 1)]
        return from_micros(anchor.micros + anchor.ahead + max(0, real_ns - anchor.real_ns) // _NS_PER_US)

    def _read(self) -> list[_Anchor]:
        size = self._path.stat().st_size
        if size != self._size:
            lines = self._path.read_text(encoding="ascii").split("\n")
            # What follows the last line break is being written.
            self._anchors = [
                _Anchor(real_ns=int(real), micros=int(micros), ahead=int(ahead))
                for real, micros, ahead in (line.split() for line in lines[:-1])
            ]
            self._size = size
        return self._anchors
