"""Arming failpoints and making a process fail at them.

They are off unless ``ICEHAUL_FAILPOINTS`` names them: ``publish.before-commit=kill,batch.after-write=raise@2``.
Off, a failpoint costs one look-up in an empty map.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

from consumer.domain.errors import ConfigurationError, IcehaulError
from consumer.failpoints.effect import Component, Point
from consumer.failpoints.effects import EFFECTS, POINTS

VARIABLE = "ICEHAUL_FAILPOINTS"
"""The environment variable that arms failpoints."""

_ACTION = re.compile(r"(?P<mode>[a-z-]+)(?:\((?P<seconds>[0-9]{1,6}(?:\.[0-9]{1,6})?)\))?(?:@(?P<at>[1-9][0-9]{0,8}))?")
# Run without site packages: it has to be there before this process stops.
_CONTINUE = (
    "import os, signal, sys, time; stopped = int(sys.argv[1]); print(flush=True); time.sleep(float(sys.argv[2]));"
    " os.getppid() == stopped and os.kill(stopped, signal.SIGCONT)"
)

_log = logging.getLogger(__name__)


class Mode(StrEnum):
    """What happens at a failpoint."""

    RAISE = "raise"
    KILL = "kill"
    STOP = "stop"
    DELAY = "delay"
    APPLY_THEN_RAISE = "apply-then-raise"


MODES = {
    Mode.RAISE: "raise the error of a failed call",
    Mode.KILL: "send this process SIGKILL",
    Mode.STOP: "send this process SIGSTOP; with (SECONDS) it goes on after that time, without them on SIGCONT",
    Mode.DELAY: "wait for (SECONDS)",
    Mode.APPLY_THEN_RAISE: "raise what a caller sees when the effect has happened and its answer was lost",
}
"""The modes, with what each does."""


def refusal(point: Point, mode: Mode) -> str | None:
    """Return why a mode does not exist at a point; ``None`` where it does."""
    if mode is not Mode.APPLY_THEN_RAISE:
        return None
    if not point.applied:
        return "nothing has been applied yet"
    return point.effect.lost if isinstance(point.effect.lost, str) else None


@dataclass(slots=True)
class _Armed:
    point: Point
    mode: Mode
    seconds: float | None
    at: int
    hits: int = 0

    def due(self) -> bool:
        """Count a hit, and tell whether it is the one that was asked for."""
        self.hits += 1
        return self.hits == self.at

    def text(self) -> str:
        """Return the action without its count."""
        return f"{self.point.name}={self.mode}" + ("" if self.seconds is None else f"({self.seconds:g})")


class Failpoints:
    """The failpoints of one process.

    A specification is a list of ``POINT=MODE``, separated by commas; ``MODE@N`` acts at the N-th time the point is
    reached, which is the first one otherwise, and once only. Points of tasks are armed in the consumer's process and
    travel with the N-th Spark job; a task that Spark repeats is left alone.

    Raises:
        ConfigurationError: if the specification names an unknown point or mode, or a mode that a point does not have.
    """

    def __init__(self, specification: str = "") -> None:
        self._lock = threading.Lock()
        self._armed: dict[str, _Armed] = {}
        for part in specification.split(","):
            if part.strip():
                armed = _parse(part.strip())
                if armed.point.name in self._armed:
                    raise _refused(part.strip(), "names a point for the second time")
                self._armed[armed.point.name] = armed

    def hit(self, point: str) -> None:
        """Fail here, if this point is armed and it is the time to.

        Raises:
            IcehaulError: of the point's class, in the modes ``raise`` and ``apply-then-raise``.
        """
        armed = self._armed.get(point)
        if armed is None:
            return
        with self._lock:
            due = armed.due()
        if due:
            _log.warning("failpoint %s", armed.text())
            _act(armed)

    @contextmanager
    def around(self, effect: str) -> Iterator[None]:
        """Hit the effect's point before the block, and the one after it if the block succeeds."""
        before, after = EFFECTS[effect].points
        self.hit(before)
        yield
        self.hit(after)

    def for_job(self) -> str:
        """Return the specification for the tasks of the Spark job that starts now."""
        if not self._armed:
            return ""
        carried = [armed for armed in self._armed.values() if armed.point.effect.component is Component.TASK]
        with self._lock:
            due = [armed.text() for armed in carried if armed.due()]
        if due:
            _log.warning("failpoints travel with this Spark job: %s", ",".join(due))
        return ",".join(due)


def _act(armed: _Armed) -> None:
    match armed.mode:
        case Mode.RAISE:
            _fail(armed.point, armed.point.effect.fails)
        case Mode.APPLY_THEN_RAISE:
            lost = armed.point.effect.lost
            if not isinstance(lost, str):
                _fail(armed.point, lost)
        case Mode.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        case Mode.STOP:
            _stop(armed.seconds)
        case Mode.DELAY:
            time.sleep(armed.seconds or 0)


def _fail(point: Point, error: type[IcehaulError]) -> NoReturn:
    raise error(f"failpoint {point.name} was hit: {point.description}", remedy=f"unset {VARIABLE}")


def _stop(seconds: float | None) -> None:
    if seconds is None:
        _stop_here()
        return
    # A stopped process can't wake itself; the child gives up if this one has been killed meanwhile.
    argv = [sys.executable, "-I", "-S", "-c", _CONTINUE, str(os.getpid()), str(seconds)]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
        if child.stdout is not None:
            child.stdout.readline()
        _stop_here()


def _stop_here() -> None:
    """Stop the process here: a signal to the process may reach another thread first, and this one goes on meanwhile.

    A signal to this thread stops all of them just the same, before this call returns.
    """
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def _parse(part: str) -> _Armed:
    name, _, action = part.partition("=")
    found, point = _ACTION.fullmatch(action), POINTS.get(name)
    if point is None or found is None or found["mode"] not in set(Mode):
        raise _refused(part, "is no failpoint")
    mode, seconds = Mode(found["mode"]), found["seconds"]
    if (reason := refusal(point, mode)) is not None:
        raise _refused(part, f"asks for a mode that the point does not have: {reason}")
    if (mode is Mode.DELAY and seconds is None) or (mode not in {Mode.DELAY, Mode.STOP} and seconds is not None):
        raise _refused(part, "has seconds where its mode takes none, or lacks them")
    return _Armed(
        point=point, mode=mode, seconds=None if seconds is None else float(seconds), at=int(found["at"] or "1")
    )


def _refused(part: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"{VARIABLE}: {part!r} {what}",
        remedy="write POINT=MODE or POINT=MODE@N, with the modes raise, kill, stop, stop(SECONDS), delay(SECONDS) and"
        " apply-then-raise; `icehaul failpoints` lists the points",
    )
