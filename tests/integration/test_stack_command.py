from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from consumer.embedded.component import ComponentName
from consumer.embedded.layout import Layout
from consumer.embedded.stack import EmbeddedStack, end_supervisor
from consumer.entrypoints.cli.output import ExitCode
from consumer.entrypoints.cli.stack import app
from tests.support.stack_processes import processes_of


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a stack that `up` has started."""
    path = tmp_path_factory.mktemp("it's a stack")
    result = CliRunner().invoke(app, ["up", "--dir", str(path), "--only", "postgres"])
    assert result.exit_code == ExitCode.OK, result.stderr
    assert "postgres: ready in" in result.stderr
    yield path
    end_supervisor(Layout(path))


def test_up_again_changes_nothing(directory: Path) -> None:
    running = EmbeddedStack.attach(directory).pid(ComponentName.POSTGRES)
    result = CliRunner().invoke(app, ["up", "--dir", str(directory), "--output", "json"])
    assert result.exit_code == ExitCode.OK
    assert "already up" in result.stderr
    (postgres,) = json.loads(result.stdout)["components"]
    assert (postgres["name"], postgres["state"], postgres["pid"]) == ("postgres", "ready", running)


def test_env_is_what_a_shell_can_evaluate(directory: Path) -> None:
    result = CliRunner().invoke(app, ["env", "--dir", str(directory)])
    assert result.exit_code == ExitCode.OK
    shell = subprocess.run(
        ["sh", "-c", 'eval "$EXPORTS" && env -0'],
        env={"EXPORTS": result.stdout, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    evaluated = dict(variable.split("=", 1) for variable in shell.stdout.split("\0") if variable)
    expected = EmbeddedStack.attach(directory).endpoints.environment()
    assert {name: evaluated[name] for name in expected} == expected
    as_json = CliRunner().invoke(app, ["env", "--dir", str(directory), "--output", "json"])
    assert json.loads(as_json.stdout) == expected


def test_status_shows_no_secret(directory: Path) -> None:
    result = CliRunner().invoke(app, ["status", "--dir", str(directory)])
    assert result.exit_code == ExitCode.OK
    assert "ready" in result.stdout
    assert EmbeddedStack.attach(directory).endpoints.postgres.password not in result.output


def test_status_tells_when_a_component_does_not_work(directory: Path) -> None:
    stack = EmbeddedStack.attach(directory)
    stack.kill_component(ComponentName.POSTGRES)
    result = CliRunner().invoke(app, ["status", "--dir", str(directory), "--output", "json"])
    assert result.exit_code == ExitCode.FINDING
    assert json.loads(result.stdout)["components"][0]["state"] == "stopped"
    stack.start_component(ComponentName.POSTGRES)
    assert CliRunner().invoke(app, ["status", "--dir", str(directory)]).exit_code == ExitCode.OK


def test_down_ends_everything_and_may_be_repeated(directory: Path) -> None:
    first = CliRunner().invoke(app, ["down", "--dir", str(directory)])
    assert (first.exit_code, "stopped" in first.stderr) == (ExitCode.OK, True)
    assert not processes_of(directory)
    second = CliRunner().invoke(app, ["down", "--dir", str(directory)])
    assert (second.exit_code, "no stack is running" in second.stderr) == (ExitCode.OK, True)


@pytest.mark.parametrize("command", ["status", "env"])
def test_without_a_stack_the_answer_is_how_to_start_one(tmp_path: Path, command: str) -> None:
    result = CliRunner().invoke(app, [command, "--dir", str(tmp_path)])
    assert result.exit_code == ExitCode.UNAVAILABLE
    assert "icehaul stack up" in result.stderr
    assert result.stdout == ""
