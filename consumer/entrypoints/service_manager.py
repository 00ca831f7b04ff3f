"""What systemd hears of a process that it has started with ``Type=notify``; without one, nothing is said.

The protocol is one datagram to the socket that ``NOTIFY_SOCKET`` names (sd_notify(3)).
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from enum import Enum
from types import TracebackType
from typing import Self

import structlog

_LOOK_SECONDS = 1.0
"""Between two looks at the process; less where the watchdog is impatient."""
_MICROSECONDS = 1_000_000
GRACE_SECONDS = 10.0
"""Seconds beyond its own deadline that a process may need for its end."""

_log = structlog.get_logger(__name__)


class Phase(Enum):
    """Where a process is in its life."""

    WORKING = "working"
    RELOADING = "reloading"
    """It ends its work, and will begin anew."""
    STOPPING = "stopping"


class ServiceManager:
    """Tells systemd when the process is ready, that it is alive, and what it is about; use it as a context manager.

    Args:
        environment: the process's environment, in which systemd says where it listens.
        started: whether the process has come up.
        alive: whether it still turns; silence longer than the unit's ``WatchdogSec=`` gets the process killed.
        phase: where it is in its life.
        shutdown_seconds: how long an orderly end may take; the unit's ``TimeoutStopSec=`` is extended to it.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        started: Callable[[], bool],
        alive: Callable[[], bool],
        phase: Callable[[], Phase],
        shutdown_seconds: float,
    ) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        # An @ stands for the NUL of an abstract name.
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self._watchdog = _watchdog_seconds(environment)
        self._started = started
        self._alive = alive
        self._phase = phase
        self._shutdown_seconds = shutdown_seconds
        self._ready = False
        self._told = Phase.WORKING
        self._unheard = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="icehaul-service-manager", daemon=True)

    def __enter__(self) -> Self:
        if self._address:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        pause = _LOOK_SECONDS if self._watchdog is None else min(_LOOK_SECONDS, self._watchdog / 3)
        while True:
            self._look()
            if self._end.wait(pause):
                self._look()
                return

    def _look(self) -> None:
        said = []
        if not self._ready and self._started():
            self._ready = True
            said.append("READY=1")
        if self._watchdog is not None and self._alive():
            said.append("WATCHDOG=1")
        phase = self._phase()
        if phase is not self._told:
            self._told = phase
            said += self._announcement(phase)
        if said:
            self._send("\n".join(said))

    def _announcement(self, phase: Phase) -> list[str]:
        if phase is Phase.RELOADING:
            return ["RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"]
        seconds = self._shutdown_seconds + GRACE_SECONDS
        return ["STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(seconds * _MICROSECONDS)}"]

    def _send(self, text: str) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(text.encode(), self._address)
        except OSError as error:
            if not self._unheard:
                self._unheard = True
                _log.warning("service_manager.unreachable", error=str(error))


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """Return after how many seconds without a word the process is killed; ``None``: never."""
    text, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not text.isdecimal() or process not in {"", str(os.getpid())}:
        return None
    return int(text) / _MICROSECONDS or None
