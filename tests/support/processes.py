"""icehaul's own processes, as a user starts them, and what they take of the machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.waiting import wait_until

_TETHER = Path(__file__).resolve().parents[2] / "consumer" / "embedded" / "tether.py"
_PAGE_KIB = 1024


@dataclass
class Running:
    """A process of icehaul with its output in a file."""

    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, pattern: str, seconds: float = 90) -> re.Match[str]:
        """Wait until the log matches, failing early if the process ends."""

        def found() -> re.Match[str] | None:
            match = re.search(pattern, self.text())
            assert match or self.popen.poll() is None, f"ended with {self.popen.returncode}:\n{self.text()[-3000:]}"
            return match

        wait_until(found, seconds=seconds, what=f"{pattern!r} in {self.log}")
        match = found()
        assert match is not None
        return match

    def http_port(self) -> int:
        """The port of metrics and health of a consumer whose Spark session is warm."""
        self.wait_for(r"consumer\.warm")
        return int(self.wait_for(r'"port": (\d+)').group(1))

    def terminate(self, seconds: float = 40) -> int:
        """Ask the process to end, and return its exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(seconds)

    def kill(self) -> None:
        """Kill the process and all that it started, as a crash of the machine would."""
        with_group = os.getpgid(self.popen.pid)
        os.killpg(with_group, signal.SIGKILL)
        self.popen.wait(60)


_COMMAND = "consumer.entrypoints.cli.main"


@contextmanager
def icehaul(
    *arguments: str, log: Path, environment: Mapping[str, str], program: str = _COMMAND, folder: Path | None = None
) -> Iterator[Running]:
    """Run a command of icehaul in the background; it is gone when the block ends, however it ends.

    ``program`` is the module that is run in the place of the command's own.
    """
    argv = [sys.executable, "-m", program, *arguments]
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), *argv],
            env={**os.environ, **environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    running = Running(popen, log)
    try:
        yield running
    finally:
        if popen.poll() is None:
            running.kill()


def output_of(
    arguments: Sequence[str], *, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> str:
    """Run a command of icehaul to its end, which has to be a success, and return what it wrote to standard output."""
    done = subprocess.run(
        [sys.executable, "-m", _COMMAND, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


class PeakMemory:
    """Samples the memory of a process and all its descendants; shared pages are counted once (PSS)."""

    def __init__(self, pid: int, interval_seconds: float = 0.05) -> None:
        self._pid = pid
        self._interval_seconds = interval_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.mib = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_seconds):
            self.mib = max(self.mib, sum(pss_kib(pid) for pid in family(self._pid)) / _PAGE_KIB)


def children(pid: int) -> list[int]:
    """The processes that a process has started, as far as they are there."""
    found: list[int] = []
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return found
    for task in tasks:
        try:
            found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def family(pid: int) -> list[int]:
    """The process and its descendants."""
    found = [pid]
    for one in found:
        found += children(one)
    return found


def pss_kib(pid: int) -> int:
    """Memory of a process, of pages that are shared its proportional part; 0 where there is no such process."""
    return _rollup_kib(pid, "Pss")


def rss_kib(pid: int) -> int:
    """Memory of a process, pages that are shared included; 0 where there is no such process."""
    return _rollup_kib(pid, "Rss")


def _rollup_kib(pid: int, kind: str) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    match = re.search(rf"^{kind}: +(\d+) kB", text, re.MULTILINE)
    return int(match.group(1)) if match else 0
