"""Failpoints that run something of the test's in the middle of the service, or stop all of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from consumer.failpoints.acting import Failpoints

_LONGEST_S = 120.0


class Interrupt(Failpoints):
    """Runs something at a failpoint, once."""

    def __init__(self, point: str, act: Callable[[], object]) -> None:
        super().__init__()
        self._point = point
        self._act: Callable[[], object] | None = act

    def hit(self, point: str) -> None:
        if point == self._point and self._act is not None:
            act, self._act = self._act, None
            act()


class Freeze(Failpoints):
    """Stops every thread that passes a point, from the chosen one on until ``thaw``, as SIGSTOP stops a process.

    Armed anew, it serves the next test. ``acts`` are run at points that come before the chosen one, once each.
    """

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._point = ""
        self._acts: dict[str, Callable[[], object]] = {}
        self._frozen = False
        self._last: int | None = None
        self._held: set[int | None] = set()

    def arm(self, point: str, acts: Mapping[str, Callable[[], object]] | None = None) -> None:
        """Stop at a point."""
        with self._changed:
            self._point, self._acts, self._frozen, self._last = point, dict(acts or {}), False, None

    @property
    def frozen(self) -> bool:
        """Whether the point was reached, and everything stands still."""
        return self._frozen

    def holds(self, thread: threading.Thread) -> bool:
        """Tell whether this thread stands still at this moment."""
        return thread.ident in self._held

    def thaw(self, *, but: threading.Thread | None = None) -> None:
        """Let everything go on, and stop no more; ``but`` one thread, which is slow to wake up."""
        with self._changed:
            self._point, self._frozen, self._last = "", but is not None, None if but is None else but.ident
            self._changed.notify_all()

    def hit(self, point: str) -> None:
        act = self._acts.pop(point, None)
        if act is not None:
            act()
        with self._changed:
            if point == self._point:
                self._frozen = True
        self.pause()

    def pause(self) -> None:
        """Stand still here while everything does: for threads between two points."""
        with self._changed:
            if not self._stands_still():
                return
            self._held.add(threading.get_ident())
            thawed = self._changed.wait_for(lambda: not self._stands_still(), _LONGEST_S)
            self._held.discard(threading.get_ident())
        assert thawed, "frozen for ever"

    def _stands_still(self) -> bool:
        return self._frozen and self._last in {None, threading.get_ident()}
