"""The command line as a user meets it: arguments in; exit code, standard output and standard error out."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from consumer.bootstrap import Application
from consumer.embedded.stack import EmbeddedStack
from consumer.entrypoints.cli.main import main
from tests.support.local_engine import LocalEngine
from tests.support.local_platform import LocalPlatform, ledger_database, local_platform
from tests.support.platform import Platform


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Standard output as JSON: nothing else may stand there."""
        return json.loads(self.out)

    def explained(self, *parts: str) -> None:
        """Check that standard error tells what went wrong and what to do, without a traceback."""
        assert self.err.startswith("error: "), self.err
        assert "\nremedy: " in self.err
        assert "Traceback" not in self.out + self.err
        for part in parts:
            assert part in self.err


Run = Callable[..., Ended]


@pytest.fixture
def icehaul(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["icehaul", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capfd.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Ended(code=code, out=captured.out, err=captured.err)

    return run


def spawn(*arguments: str, environment: Mapping[str, str] | None = None) -> Ended:
    """Run a command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "consumer.entrypoints.cli.main", *arguments],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return Ended(code=done.returncode, out=done.stdout, err=done.stderr)


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the surroundings decides what a test sees."""
    for name in [*os.environ]:
        if name.startswith("ICEHAUL_") and name != "ICEHAUL_TEST_STACK":
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def platform(
    stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    """One stream with a source of 100 rows, and a ledger that is migrated."""
    made = Platform(stack.endpoints, unique_name, tmp_path)
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    made.add_stream()
    made.insert(100)
    with Application(made.configuration(), environment={}) as application:
        application.migrate()
    monkeypatch.setenv("ICEHAUL_CONFIG", str(made.write()))
    yield made
    made.close()


@pytest.fixture
def stream(platform: Platform) -> str:
    """The name of the only stream."""
    return str(platform.streams[0]["name"])


@pytest.fixture
def empty_database(platform: Platform, unique_name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of the test's own, without a ledger."""
    with psycopg.connect(platform.endpoints.postgres.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(unique_name)))
    dsn = make_conninfo(platform.endpoints.postgres.dsn, dbname=unique_name)
    monkeypatch.setenv("ICEHAUL_POSTGRES__DSN", dsn)
    return unique_name


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.fixture
def local(
    stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalPlatform]:
    """A platform with a ledger of its own, which may be lost; commands run their tasks in this process."""
    engine = cached_property(lambda application: LocalEngine(application.configuration, application.failpoints))
    engine.__set_name__(Application, "engine")
    monkeypatch.setattr(Application, "engine", engine)
    with (
        ledger_database(stack.endpoints, unique_name) as dsn,
        local_platform(stack.endpoints, unique_name, dsn, tmp_path, monkeypatch) as made,
    ):
        made.sections["kafka"] = {"partitions": 1}
        yield made
