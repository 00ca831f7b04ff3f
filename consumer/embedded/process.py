"""Child processes that are bound to this one's life, signalled as a group, with their output in a file."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from consumer.domain.errors import EmbeddedStackError
from consumer.embedded.process_tree import ProcessIdentity, descendants

_TETHER = Path(__file__).with_name("tether.py")
# Everything else stays out: a CLASSPATH, JAVA_TOOL_OPTIONS, PGDATA or secret of the caller must not reach a server.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "XDG_CACHE_HOME")
_KILL_DEADLINE_S = 10.0
_POLL_S = 0.02
_TAIL_BYTES = 32_768


@dataclass(frozen=True, slots=True)
class Launch:
    """What to run: arguments, working directory, and environment variables on top of a minimal set."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)


class ServerProcess:
    """One running server. Create it on a thread that outlives it: the kernel binds the server to that thread."""

    def __init__(self, launch: Launch, log_file: Path) -> None:
        self._log_file = log_file
        with log_file.open("ab") as log:
            self._log_start = log.tell()
            self._popen = subprocess.Popen(
                tethered(launch.argv),
                cwd=launch.cwd,
                env=minimal_environment(launch.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """The server's process id, which is its group's and session's id too."""
        return self._popen.pid

    def exit_code(self) -> int | None:
        """The exit code once the server has ended, else None (negative: the signal that ended it)."""
        return self._popen.poll()

    def log_tail(self, lines: int = 15) -> str:
        """The last lines that this run of the server has logged."""
        return tail(self._log_file, lines=lines, start=self._log_start)

    def stop(self, request: signal.Signals, grace_s: float) -> None:
        """Ask the server to end; after ``grace_s`` seconds kill it and all that it started.

        Raises:
            EmbeddedStackError: if it survives SIGKILL (a process stuck in the kernel).
        """
        family = descendants(self.pid)
        if self.exit_code() is None:
            self.signal_group(request)
            self.signal_group(signal.SIGCONT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(grace_s)
        self._destroy(family)

    def kill(self) -> None:
        """Kill the server and all that it started at once, as a crash would, and wait until they are gone.

        Raises:
            EmbeddedStackError: if one survives SIGKILL.
        """
        self._destroy(descendants(self.pid))

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the server's process group."""
        if self.exit_code() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _destroy(self, family: Sequence[ProcessIdentity]) -> None:
        # Postgres puts each of its children into a session of its own, so the group alone is not enough.
        self.signal_group(signal.SIGKILL)
        give_up = time.monotonic() + _KILL_DEADLINE_S
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(_KILL_DEADLINE_S)
        for member in family:
            member.send(signal.SIGKILL)
        while self.exit_code() is None or any(member.is_alive() for member in family):
            if time.monotonic() >= give_up:
                raise EmbeddedStackError(
                    f"process {self.pid} or one of its children survived SIGKILL for {_KILL_DEADLINE_S:.0f} s",
                    remedy=f"look at 'ps -o stat,wchan,cmd {self.pid}': the disk it waits for may hang",
                )
            time.sleep(_POLL_S)


def run_tool(launch: Launch, log_file: Path, *, deadline_s: float, purpose: str) -> None:
    """Run a program to its end, its output appended to ``log_file``.

    Raises:
        EmbeddedStackError: if it fails, cannot be started, or takes longer than ``deadline_s`` seconds.
    """
    with log_file.open("ab") as log:
        start = log.tell()
        try:
            done = subprocess.run(
                tethered(launch.argv),
                cwd=launch.cwd,
                env=minimal_environment(launch.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=deadline_s,
                check=False,
            )
            outcome = f"exit code {done.returncode}"
            if done.returncode == 0:
                return
        except subprocess.TimeoutExpired:
            outcome = f"no end after {deadline_s:.0f} s"
    raise EmbeddedStackError(
        f"{purpose} failed ({outcome}); last lines of {log_file}:\n{tail(log_file, lines=15, start=start)}",
        remedy="the lines above name the cause",
    )


def tethered(argv: Sequence[str]) -> list[str]:
    """The command that runs ``argv`` bound to this process's life."""
    return [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), *argv]


def minimal_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server: what every program needs, in UTC, and ``extra``."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**passed_on, "TZ": "UTC", **extra}


def tail(path: Path, *, lines: int, start: int = 0) -> str:
    """The last lines of a log file, looking no further back than the byte ``start``."""
    try:
        with path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(start, size - _TAIL_BYTES))
            text = log.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return "(no log file)"
    return "\n".join(text.splitlines()[-lines:]) or "(nothing was logged)"
