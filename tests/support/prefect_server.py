"""A Prefect server with a worker, from an environment of their own: SQLite, loopback only, nothing sent anywhere."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from consumer.embedded.ports import LOOPBACK, free_ports
from consumer.embedded.process import Launch, ServerProcess
from tests.support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venvs" / "prefect" / "bin"
"""Programs of the environment that ``make prefect`` makes."""

_DEADLINE_S = 180.0
_STOP_GRACE_S = 3.0
_ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def installed() -> bool:
    """Whether Prefect is there, and completely."""
    return (BIN.parent / ".installed").exists()


@dataclass(frozen=True)
class FlowRun:
    """How a flow run ended."""

    id: str
    type: str
    name: str
    message: str


class PrefectServer:
    """A server's API, and Prefect's commands against it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port, nobody = free_ports(2)
        self.environment: dict[str, str] = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(directory),
            "PREFECT_HOME": str(directory / "home"),
            "PREFECT_API_URL": f"http://{LOOPBACK}:{self.port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_UI_ENABLED": "false",
            # SQLite has one writer at a time, and the machine may have much else to do.
            "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "DO_NOT_TRACK": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "NO_COLOR": "1",
            "COLUMNS": "160",
            # Whatever would leave this machine meets a closed door at once, and nothing waits for an answer.
            "HTTP_PROXY": f"http://{LOOPBACK}:{nobody}",
            "HTTPS_PROXY": f"http://{LOOPBACK}:{nobody}",
            "NO_PROXY": f"{LOOPBACK},localhost",
        }

    @contextmanager
    def process(self, name: str, *arguments: str, folder: Path | None = None) -> Iterator[ServerProcess]:
        """Run one of Prefect's commands until the block ends, with its output in a file."""
        launch = Launch(
            argv=(str(BIN / "prefect"), *arguments), cwd=folder or self.directory, env=dict(self.environment)
        )
        process = ServerProcess(launch, self.directory / f"{name}.log")
        try:
            yield process
        finally:
            process.stop(signal.SIGTERM, _STOP_GRACE_S)

    def call(self, path: str, body: Mapping[str, Any] | None = None, *, method: str | None = None) -> Any:
        """Call the API, by POST where there is a body; again where its database is busy, as Prefect's clients do."""
        request = urllib.request.Request(
            f"http://{LOOPBACK}:{self.port}/api/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
            method=method,
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def answer() -> bytes | None:
            try:
                with opener.open(request, timeout=30) as reply:
                    return bytes(reply.read()) or b"null"
            except urllib.error.HTTPError as error:
                with error:
                    if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                        raise AssertionError(f"{path}: {error}: {error.read().decode()}") from error
                return None

        return json.loads(wait_for(answer, _DEADLINE_S, f"an answer to {path}"))

    def answers(self) -> bool:
        """Whether the API is up."""
        try:
            return bool(self.call("health"))
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def command(self, line: str, *, folder: Path) -> str:
        """Run a line of shell in Prefect's environment; it has to succeed. Return what it said."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        return done.stdout

    def start_run(self, parameters: Mapping[str, Any], **variables: str) -> str:
        """Start the deployment, with environment variables of this run's own; return the run's id."""
        deployment = self.call("deployments/name/icehaul/quarter-hour")["id"]
        body = {"parameters": dict(parameters), "job_variables": {"env": variables}}
        return str(self.call(f"deployments/{deployment}/create_flow_run", body)["id"])

    def ended(self, run: str) -> FlowRun:
        """Wait until a flow run has ended."""

        def end() -> dict[str, Any] | None:
            state: dict[str, Any] = self.call(f"flow_runs/{run}")["state"]
            return state if state["type"] in _ENDED else None

        state = wait_for(end, _DEADLINE_S, f"the end of the flow run; logs are in {self.directory}")
        return FlowRun(id=run, type=state["type"], name=state["name"], message=state["message"])

    def run(self, parameters: Mapping[str, Any], **variables: str) -> FlowRun:
        """Start the deployment, and wait for its end."""
        return self.ended(self.start_run(parameters, **variables))

    def task_runs(self, run: str) -> dict[str, str]:
        """The state of each task run by its name; names that Prefect makes up are without their last part."""
        found = self.call("task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
        return {re.sub(r"-[0-9a-f]{3}$", "", one["name"]): one["state"]["name"] for one in found}

    def artifact(self, run: str) -> str:
        """The text of a flow run's only artifact."""
        (found,) = self.call("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
        return str(found["data"])


@contextmanager
def running_prefect_server(directory: Path) -> Iterator[PrefectServer]:
    """Run a server in ``directory``; it ends with the block, and with this process however that ends."""
    server = PrefectServer(directory)
    with ExitStack() as stack:
        process = stack.enter_context(
            server.process("server", "server", "start", "--host", LOOPBACK, "--port", str(server.port))
        )

        def up() -> bool:
            assert process.exit_code() is None, f"the server ended with {process.exit_code()}:\n{process.log_tail()}"
            return server.answers()

        wait_for(up, _DEADLINE_S, f"Prefect's API on port {server.port}; logs are in {directory}")
        yield server
