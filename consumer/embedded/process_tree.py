"""What the kernel knows about processes, read from /proc, proof against reused process ids."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
# Fields of /proc/PID/stat after the command's closing parenthesis (see proc(5)).
_STATE, _PARENT, _START_TIME = 0, 1, 19


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process, for ever: the start time (clock ticks since boot) tells it from a later one of the same id."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """The process that has this id now, if any that is not a zombie."""
        fields = _stat(pid)
        if fields is None or fields[_STATE] in {"Z", "X"}:
            return None
        return cls(pid=pid, started=int(fields[_START_TIME]))

    def is_alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return ProcessIdentity.of(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if this very process still runs."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def descendants(pid: int) -> list[ProcessIdentity]:
    """All living children, grandchildren and so on of ``pid``, in no particular order."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            fields = _stat(int(entry.name))
            if fields is not None:
                children.setdefault(int(fields[_PARENT]), []).append(int(entry.name))
    found: list[ProcessIdentity] = []
    waiting = list(children.get(pid, ()))
    while waiting:
        child = waiting.pop()
        identity = ProcessIdentity.of(child)
        if identity is not None:
            found.append(identity)
        waiting.extend(children.get(child, ()))
    return found


def command_line(pid: int) -> list[str]:
    """The arguments of a running process; empty if it is gone."""
    try:
        raw = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(argument) for argument in raw.split(b"\0") if argument]


def _stat(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
