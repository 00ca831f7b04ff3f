"""How the supervisor is spoken to: one JSON line each way over loopback TCP, with a token from a private file."""

from __future__ import annotations

import socket
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from consumer.domain.errors import EmbeddedStackError
from consumer.embedded.component import ComponentName
from consumer.embedded.errors import StackNotRunningError
from consumer.embedded.ports import LOOPBACK

MAX_LINE_BYTES = 1_048_576


class Operation(StrEnum):
    """What a client can ask for; all but the first two and the last name a component."""

    STATUS = "status"
    PROBE = "probe"
    START = "start"
    STOP = "stop"
    KILL = "kill"
    PAUSE = "pause"
    RESUME = "resume"
    DOWN = "down"


class State(StrEnum):
    """A component's state."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    PAUSED = "paused"
    EXITED = "exited"
    """Ended without being asked to."""
    SILENT = "silent"
    """Runs, but failed the probe."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ControlAddress(_Message):
    """The content of ``control.json``."""

    pid: int
    port: int
    token: str


class Request(_Message):
    """One request."""

    token: str
    operation: Operation
    component: ComponentName | None = None


class ComponentStatus(_Message):
    """One component: ``seconds`` is the time its last start or probe took, ``detail`` says what is wrong."""

    name: ComponentName
    state: State
    pid: int | None = None
    seconds: float | None = None
    detail: str = ""


class Response(_Message):
    """The answer: the components' states, or what went wrong."""

    components: tuple[ComponentStatus, ...] = ()
    error: str | None = None
    remedy: str = ""


class Progress(_Message):
    """One step of a start: ``component`` None speaks for the whole stack."""

    component: ComponentName | None = None
    text: str
    error: str | None = None
    remedy: str = ""
    finished: bool = False

    def line(self) -> str:
        """The step for people."""
        return f"{self.component.value}: {self.text}" if self.component else self.text


def ask(control_file: Path, operation: Operation, component: ComponentName | None, *, deadline_s: float) -> Response:
    """Send one request and wait for its answer.

    Raises:
        StackNotRunningError: if no supervisor answers.
        EmbeddedStackError: if the supervisor reports an error.
    """
    try:
        address = ControlAddress.model_validate_json(control_file.read_text(encoding="utf-8"))
        request = Request(token=address.token, operation=operation, component=component)
        with socket.create_connection((LOOPBACK, address.port), timeout=deadline_s) as connection:
            connection.sendall(request.model_dump_json().encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer = Response.model_validate_json(lines.readline(MAX_LINE_BYTES))
    except (OSError, ValidationError) as error:
        raise StackNotRunningError(
            f"no answer from the supervisor named in {control_file} to '{operation}': {error}",
            remedy="look at logs/supervisor.log beside that file; 'icehaul stack up' starts a stack",
        ) from error
    if answer.error is not None:
        raise EmbeddedStackError(answer.error, remedy=answer.remedy)
    return answer
