"""The embedded stack as its users see it: start one, attach to one, reach and disturb its components."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from consumer.domain.errors import EmbeddedStackError
from consumer.embedded.component import ComponentName
from consumer.embedded.control import ComponentStatus, ControlAddress, Operation, Progress, ask
from consumer.embedded.endpoints import Endpoints
from consumer.embedded.errors import StackAlreadyRunningError, StackNotRunningError
from consumer.embedded.layout import Layout
from consumer.embedded.locks import is_locked
from consumer.embedded.process import tail
from consumer.embedded.process_tree import ProcessIdentity

_PROJECT = Path(__file__).resolve().parents[2]
_REQUEST_DEADLINE_S = 120.0
_DOWN_DEADLINE_S = 40.0
_POLL_S = 0.05
_PROGRESS_DESCRIPTOR = 3


class EmbeddedStack:
    """A running stack. ``with EmbeddedStack.start(directory) as stack: stack.endpoints`` ends it with the block.

    Components keep their data, ports and secrets in ``directory``; starting there again continues with them.
    """

    def __init__(self, layout: Layout, endpoints: Endpoints) -> None:
        self._layout = layout
        self._endpoints = endpoints

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        only: Sequence[ComponentName] = (),
        progress: Callable[[str], None] | None = None,
        owner: int | None = None,
        detached: bool = False,
    ) -> Self:
        """Start all components (or only some) side by side and wait until each has done a real operation.

        The stack ends when the process ``owner`` (this one by default) is gone, unless it is ``detached``.
        ``progress`` hears one line per step.

        Raises:
            StackAlreadyRunningError: if one already runs in this directory.
            EmbeddedStackError: if a component does not start; nothing is left running then.
        """
        if sys.platform != "linux":
            raise EmbeddedStackError(
                f"the embedded stack runs on Linux, not on {sys.platform}",
                remedy="start the servers of docker-compose.yml instead",
            )
        layout = Layout.make(directory)
        arguments = ["--dir", str(layout.directory), "--progress-fd", str(_PROGRESS_DESCRIPTOR)]
        if only:
            arguments += ["--only", *only]
        if not detached:
            arguments += _ownership(owner or os.getpid())
        reading, writing = os.pipe()
        try:
            supervisor = _spawn(arguments, layout, writing)
        finally:
            os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as steps:
            try:
                last = _follow(steps, progress)
            except BaseException:  # Ctrl-C, or a progress callback that fails
                os.kill(supervisor, signal.SIGTERM)
                _reap(supervisor)
                raise
        if last is not None and last.error is None:
            return cls.attach(layout.directory)
        _reap(supervisor)
        if last is None:
            raise EmbeddedStackError(
                f"the supervisor ended without a word; last lines of {layout.supervisor_log}:\n"
                f"{tail(layout.supervisor_log, lines=15)}",
                remedy="the lines above name the cause",
            )
        kind = StackAlreadyRunningError if is_locked(layout.lock) else EmbeddedStackError
        raise kind(last.error or last.text, remedy=last.remedy)

    @classmethod
    def attach(cls, directory: Path) -> Self:
        """Use a stack that another process has started.

        Raises:
            StackNotRunningError: if none is ready there.
        """
        layout = Layout(directory.resolve())
        if is_locked(layout.lock):
            try:
                endpoints = Endpoints.model_validate_json(layout.endpoints.read_text(encoding="utf-8"))
            except (FileNotFoundError, ValidationError):
                pass  # it is on its way up or down
            else:
                return cls(layout, endpoints)
        raise StackNotRunningError(
            f"no stack is ready in {layout.directory}",
            remedy=f"start one: icehaul stack up --dir {shlex.quote(str(directory))}",
        )

    @property
    def endpoints(self) -> Endpoints:
        """Where the components are."""
        return self._endpoints

    @property
    def directory(self) -> Path:
        """The stack's directory."""
        return self._layout.directory

    def status(self) -> dict[ComponentName, ComponentStatus]:
        """The components' states as the supervisor last saw them."""
        return self._ask(Operation.STATUS)

    def probe(self) -> dict[ComponentName, ComponentStatus]:
        """The components' states after one real operation on each."""
        return self._ask(Operation.PROBE)

    def pid(self, name: ComponentName) -> int:
        """The process id of a component's server.

        Raises:
            StackNotRunningError: if it does not run.
        """
        status = self.status().get(name)
        if status is None or status.pid is None:
            raise StackNotRunningError(f"component {name} does not run", remedy="start it first")
        return status.pid

    def start_component(self, name: ComponentName) -> None:
        """Start a component that was stopped, killed or has ended, on its old port and data; returns when ready."""
        self._ask(Operation.START, name)

    def stop_component(self, name: ComponentName) -> None:
        """Stop a component in an orderly way; returns when it is gone."""
        self._ask(Operation.STOP, name)

    def kill_component(self, name: ComponentName) -> None:
        """Kill a component by SIGKILL, as a crash would; returns when it is gone."""
        self._ask(Operation.KILL, name)

    def pause_component(self, name: ComponentName) -> None:
        """Freeze a component: its connections stay open, nothing is answered."""
        self._ask(Operation.PAUSE, name)

    def resume_component(self, name: ComponentName) -> None:
        """Let a frozen component go on."""
        self._ask(Operation.RESUME, name)

    def down(self) -> None:
        """Stop everything; harmless when it is already down.

        Raises:
            EmbeddedStackError: if the supervisor cannot be ended.
        """
        end_supervisor(self._layout)

    def _ask(self, operation: Operation, name: ComponentName | None = None) -> dict[ComponentName, ComponentStatus]:
        answer = ask(self._layout.control, operation, name, deadline_s=_REQUEST_DEADLINE_S)
        return {status.name: status for status in answer.components}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.down()


def end_supervisor(layout: Layout) -> bool:
    """End the supervisor of a directory and with it all components; False if none was running.

    A request comes first; a supervisor that does not end within 40 s is killed, and the kernel kills its components.

    Raises:
        EmbeddedStackError: if even that fails.
    """
    if not is_locked(layout.lock):
        return False
    pid = _supervisor_pid(layout)
    supervisor = ProcessIdentity.of(pid) if pid is not None else None
    try:
        ask(layout.control, Operation.DOWN, None, deadline_s=_DOWN_DEADLINE_S)
    except StackNotRunningError:
        # It starts right now, or is stuck: the lock says that it lives, so the recorded process id is its own.
        if supervisor is not None and is_locked(layout.lock):
            supervisor.send(signal.SIGTERM)
    if _wait_for_end(layout, supervisor):
        _reap(pid)
        return True
    if supervisor is not None:
        supervisor.send(signal.SIGKILL)
    if not _wait_for_end(layout, supervisor):
        raise EmbeddedStackError(
            f"the supervisor of {layout.directory} (process {pid}) cannot be ended",
            remedy=f"look at {layout.supervisor_log} and end that process by hand",
        )
    _reap(pid)
    layout.endpoints.unlink(missing_ok=True)
    layout.control.unlink(missing_ok=True)
    return True


def _follow(steps: Iterable[str], progress: Callable[[str], None] | None) -> Progress | None:
    """Pass the supervisor's steps on; the last one, or None if the supervisor ended before it."""
    for line in steps:
        step = Progress.model_validate_json(line)
        if step.finished:
            return step
        if progress is not None:
            progress(step.line())
    return None


def _ownership(owner: int) -> list[str]:
    identity = ProcessIdentity.of(owner)
    if identity is None:
        raise EmbeddedStackError(
            f"process {owner}, which is to own the stack, does not run", remedy="name one that runs"
        )
    return ["--owner", str(identity.pid), "--owner-started", str(identity.started)]


def _spawn(arguments: Sequence[str], layout: Layout, progress_pipe: int) -> int:
    """Start a supervisor in a session of its own, which no terminal and no exit of this process ends."""
    log = os.open(layout.supervisor_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "consumer.embedded.supervisor", *arguments],
            _supervisor_environment(os.environ),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, null, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
                (os.POSIX_SPAWN_DUP2, progress_pipe, _PROGRESS_DESCRIPTOR),
            ],
            setsid=True,
        )
    finally:
        os.close(log)
        os.close(null)


def _supervisor_environment(caller: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment, with this source tree first on the path, without its coverage or test settings."""
    kept = {name: value for name, value in caller.items() if not name.startswith(("PYTEST_", "ICEHAUL_"))}
    return {**kept, "PYTHONPATH": str(_PROJECT)}


def _supervisor_pid(layout: Layout) -> int | None:
    try:
        return ControlAddress.model_validate_json(layout.control.read_text(encoding="utf-8")).pid
    except (FileNotFoundError, ValidationError):
        return None


def _wait_for_end(layout: Layout, supervisor: ProcessIdentity | None) -> bool:
    """Wait until the lock is free and the process gone, which comes a moment later."""
    give_up = time.monotonic() + _DOWN_DEADLINE_S
    while is_locked(layout.lock) or (supervisor is not None and supervisor.is_alive()):
        if time.monotonic() >= give_up:
            return False
        time.sleep(_POLL_S)
    return True


def _reap(pid: int | None) -> None:
    """Collect the exit code of a supervisor that is this process's own child, so that no zombie stays."""
    if pid is not None:
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            return  # another process started it
