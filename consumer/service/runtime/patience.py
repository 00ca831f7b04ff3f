"""How long a poll may wait for messages: a small share of the time that the work in flight takes anyway."""

from __future__ import annotations

IDLE_SECONDS = 0.2
"""Longest wait: how late the loop may notice that it should stop."""
BUSY_SECONDS = 0.002
"""Wait while work is in flight: how late an event that is finished at once may be acknowledged."""
BUSY_SECONDS_MAX = 0.05
"""The same for work that takes long."""
_SHARE = 0.01
"""Wait as a share of how long work has been in flight: looking costs the machine on which it is done."""


class Patience:
    """Turns how long work has been in flight into the wait of the next poll; of one thread."""

    def __init__(self) -> None:
        self._busy_since: float | None = None

    def wait(self, *, busy: bool, now: float) -> float:
        """Return the seconds that the next poll may wait, ``now`` being seconds of a clock that never goes back."""
        if not busy:
            self._busy_since = None
            return IDLE_SECONDS
        if self._busy_since is None:
            self._busy_since = now
        return min(BUSY_SECONDS_MAX, max(BUSY_SECONDS, (now - self._busy_since) * _SHARE))
