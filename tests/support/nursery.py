"""Real processes of icehaul that start at once: forked from one that has imported everything already.

An interpreter takes seconds of a processor to import icehaul and what it stands on, three times for each story of
three processes. Here one process imports, and never does anything else; each child runs ``icehaul ARGUMENTS`` as the
command line does, with an environment, a session and a log of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn, Self

from consumer.embedded.process import tethered
from consumer.entrypoints.allocator import ARROW_POOL
from consumer.entrypoints.cli.main import main as icehaul
from spark import connect_session
from tests.support.waiting import wait_for

_REAP_SECONDS = 0.01
_PR_SET_PDEATHSIG = 1
_IMPORTED = (connect_session,)
"""What the command line imports only where it is used."""


@dataclass
class Child:
    """One process of icehaul, with its log."""

    pid: int
    log: Path
    status: int | None = None
    ended: float | None = None
    """When it was seen to have ended: seconds since the epoch."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def text(self) -> str:
        """What it has logged so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def running(self) -> bool:
        """Whether it has not ended; a stopped process has not."""
        return self.status is None

    @property
    def stopped(self) -> bool:
        """Whether it is stopped by a signal at this moment."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii")
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] == "T"

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal, unless it has ended."""
        with self._lock:
            if self.status is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, number)

    def end(self) -> None:
        """Kill the process, and wait until it is gone."""
        self.send(signal.SIGKILL)
        wait_for(lambda: not self.running, 30, f"process {self.pid} to end")

    def has_ended(self, status: int, moment: float) -> None:
        """Take the exit status: negative for the signal that ended it."""
        with self._lock:
            self.status, self.ended = status, moment


class Nursery:
    """The process that has imported everything; children end with it, and it ends with this process.

    ``program`` is the module that it runs: one that ends in :func:`main`, and may have put other parts into icehaul.
    """

    def __init__(self, log: Path, program: str = "tests.support.nursery") -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                tethered((sys.executable, "-m", program)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                # Threads that libraries start while they are imported would not live on in a child.
                env={**ARROW_POOL, **os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
        self._starting = threading.Lock()
        self._news = threading.Condition()
        self._started: list[int] = []
        self._children: dict[int, Child] = {}
        self._early: dict[int, tuple[int, float]] = {}
        self._listener = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._news:
            children = list(self._children.values())
        for child in children:
            child.send(signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def start(self, arguments: Sequence[str], *, environment: Mapping[str, str], log: Path) -> Child:
        """Start ``icehaul ARGUMENTS`` with further variables in its environment."""
        request = {"arguments": list(arguments), "environment": dict(environment), "log": str(log)}
        log.touch()
        stdin = self._process.stdin
        assert stdin is not None
        with self._starting, self._news:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
            assert self._news.wait_for(lambda: self._started, 120), "the nursery does not answer"
            child = Child(self._started.pop(), log)
            if child.pid in self._early:
                child.has_ended(*self._early.pop(child.pid))
            else:
                self._children[child.pid] = child
        return child

    def _listen(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        for line in stdout:
            news: dict[str, Any] = json.loads(line)
            with self._news:
                if "started" in news:
                    self._started.append(news["started"])
                elif news["ended"] in self._children:
                    self._children.pop(news["ended"]).has_ended(news["status"], news["moment"])
                else:
                    self._early[news["ended"]] = (news["status"], news["moment"])
                self._news.notify_all()


# ---------------------------------------------------------------------------------------------- in the nursery


def main() -> None:
    """Fork a child for every line of standard input; tell of starts and ends on standard output."""
    # The answers get a descriptor of their own: whatever is printed by accident goes to the log.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    requests = os.fdopen(0, "rb", buffering=0, closefd=False)
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        pending = b""
        while True:
            if selector.select(_REAP_SECONDS):
                received = os.read(0, 65536)
                if not received:
                    return
                *lines, pending = (pending + received).split(b"\n")
                for line in lines:
                    _answer(answers, {"started": _fork(json.loads(line))})
            _reap(answers)


def _answer(answers: IO[bytes], news: Mapping[str, object]) -> None:
    answers.write(json.dumps(news).encode() + b"\n")


def _reap(answers: IO[bytes]) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            _answer(answers, {"ended": pid, "status": os.waitstatus_to_exitcode(status), "moment": time.time()})


def _fork(request: Mapping[str, Any]) -> int:
    nursery = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(request, nursery)
    return pid


def _become(request: Mapping[str, Any], nursery: int) -> NoReturn:
    code = 1
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != nursery:
            os._exit(1)
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.closerange(3, 64)
        os.environ.update(request["environment"])
        sys.argv = ["icehaul", *request["arguments"]]
        icehaul()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
