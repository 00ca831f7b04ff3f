"""Failpoints that run something of the test's in the middle of the service."""

from __future__ import annotations

from collections.abc import Callable

from consumer.failpoints.acting import Failpoints


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
