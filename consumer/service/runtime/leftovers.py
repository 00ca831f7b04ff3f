"""What the handling of events has left for an idle consumer: what of it comes next, and when."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable
from typing import Generic

from consumer.service.runtime.ports import M
from consumer.service.runtime.work import Task

QUIET_SECONDS = 1.0
"""For how long no event may have run before a consumer counts as idle: where events follow each other without a
pause, between two of them there are milliseconds."""
SHARE = 1 / 20
"""Of a consumer's time, what leftovers may take that is never idle for so long."""


class Leftovers(Generic[M]):
    """Leftovers of lanes, those that were left first come first; to be used under the dispatcher's lock."""

    def __init__(self) -> None:
        self._left: dict[Hashable, Task[M]] = {}
        self._quiet_at = self._rested_at = -math.inf

    def leave(self, task: Task[M]) -> None:
        """Leave something to do after a task, behind what others have left."""
        self._left.pop(task.lane, None)
        self._left[task.lane] = task

    def drop_closing(self) -> None:
        """Forget what belongs to partitions that are being taken away."""
        self._left = {lane: task for lane, task in self._left.items() if not task.assignment.closing}

    def event_ended(self, now: float) -> None:
        """Take note that an event has run until now."""
        self._quiet_at = now + QUIET_SECONDS

    def leftover_ended(self, began: float, now: float) -> None:
        """Take note that a leftover was worked on from ``began`` until now."""
        self._rested_at = now + (now - began) * (1 / SHARE - 1)

    def pause(self, now: float) -> float | None:
        """Return the seconds until one may begin, if no event runs or waits by then; ``None`` if there is none."""
        return max(min(self._quiet_at, self._rested_at) - now, 0.0) if self._left else None

    def take(self, occupied: Collection[Hashable]) -> Task[M] | None:
        """Take the next one whose lane is not occupied."""
        lane = next((lane for lane in self._left if lane not in occupied), None)
        return None if lane is None else self._left.pop(lane)
