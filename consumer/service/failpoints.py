"""Failpoints: named places before and after side effects where a test can make the process fail.

They are off unless ``ICEHAUL_FAILPOINTS`` names them: ``publish.before-commit=kill,batch.written=raise@2``
(``@2`` means at the second time the place is reached). Off, a failpoint costs one look-up in an empty map.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from dataclasses import dataclass
from enum import StrEnum

from consumer.domain.errors import ConfigurationError, EngineFailedError

POINTS = {
    "event.received": "the event is taken up, nothing has been done",
    "stream.claimed": "the lease is held, nothing has been planned",
    "batch.planned": "the batch is planned, nothing has been recorded",
    "batch.begun": "the batch and its attempt are recorded, nothing has been written",
    "batch.written": "the data files are on the store, nothing of them is recorded",
    "batch.staged": "the data files are recorded, nothing has been checked",
    "batch.checked": "the files are checked, the publish has not begun",
    "publish.staged": "the Iceberg metadata is on the store, no transaction has begun",
    "publish.before-commit": "the publish transaction is complete but for its COMMIT",
    "publish.after-commit": "the publish has landed, the process has not noticed",
    "batch.published": "the batch is published, its event is not done",
    "event.done": "everything of the event is published, its offset is not committed",
}

_COUNT = re.compile(r"[1-9][0-9]{0,8}")


class Mode(StrEnum):
    """What happens at a failpoint."""

    RAISE = "raise"
    KILL = "kill"
    STOP = "stop"


@dataclass(slots=True)
class _Armed:
    mode: Mode
    at: int
    hits: int = 0


class Failpoints:
    """The failpoints of one process.

    Raises:
        ConfigurationError: if the specification names an unknown point or mode.
    """

    def __init__(self, specification: str = "") -> None:
        self._lock = threading.Lock()
        self._armed = dict(_parse(part) for part in specification.split(",") if part.strip())

    def hit(self, point: str) -> None:
        """Fail here if this point is armed: raise, or send this process SIGKILL or SIGSTOP."""
        armed = self._armed.get(point)
        if armed is None:
            return
        with self._lock:
            armed.hits += 1
            due = armed.hits == armed.at
        if not due:
            return
        match armed.mode:
            case Mode.RAISE:
                raise EngineFailedError(f"failpoint {point} was hit", remedy="unset ICEHAUL_FAILPOINTS")
            case Mode.KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            case Mode.STOP:
                os.kill(os.getpid(), signal.SIGSTOP)


def _parse(part: str) -> tuple[str, _Armed]:
    point, _, action = part.strip().partition("=")
    mode, _, at = action.partition("@")
    if point not in POINTS or mode not in set(Mode) or _COUNT.fullmatch(at or "1") is None:
        raise ConfigurationError(
            f"ICEHAUL_FAILPOINTS: {part.strip()!r} is not a failpoint",
            remedy=f"write POINT=MODE or POINT=MODE@N; points: {', '.join(POINTS)}; modes: {', '.join(Mode)}",
        )
    return point, _Armed(mode=Mode(mode), at=int(at or "1"))
