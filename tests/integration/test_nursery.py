"""Processes from the nursery are what the command line starts: arguments, environment, exit code, log, signals."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from consumer import __version__
from tests.support.nursery import Child, Nursery
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("nursery") / "nursery.log") as made:
        yield made


def await_end(child: Child) -> None:
    wait_for(lambda: not child.running, 60, "the end of the child")


def test_a_command_runs_to_its_end(nursery: Nursery, tmp_path: Path) -> None:
    child = nursery.start(["--version"], environment={}, log=tmp_path / "log")
    await_end(child)
    assert child.status == 0
    assert child.text().strip() == f"icehaul {__version__}"


def test_an_error_sets_the_exit_code(nursery: Nursery, tmp_path: Path) -> None:
    child = nursery.start(["run", "--config", str(tmp_path / "none.yaml")], environment={}, log=tmp_path / "log")
    await_end(child)
    assert child.status == 2
    assert "none.yaml" in child.text()


def test_a_child_has_an_environment_of_its_own(nursery: Nursery, tmp_path: Path) -> None:
    config = tmp_path / "icehaul.yaml"
    config.write_text("streams: []\n")
    shown = []
    for group in ("one", "two"):
        child = nursery.start(
            ["config", "show", "--config", str(config)],
            environment={"ICEHAUL_KAFKA__GROUP": group},
            log=tmp_path / group,
        )
        await_end(child)
        shown.append(yaml.safe_load(child.text())["kafka"]["group"])
    assert shown == ["one", "two"]


def test_a_killed_child_is_reported_with_its_signal(nursery: Nursery, tmp_path: Path) -> None:
    child = nursery.start(["stack", "up", "--help"], environment={}, log=tmp_path / "log")
    child.send(signal.SIGSTOP)
    wait_for(lambda: child.stopped or not child.running, 30, "the child to stop")
    child.end()
    assert child.status in {0, -signal.SIGKILL}
    assert child.ended is not None


def test_children_end_with_the_nursery(tmp_path: Path) -> None:
    with Nursery(tmp_path / "nursery.log") as nursery:
        child = nursery.start(["stack", "up", "--help"], environment={}, log=tmp_path / "log")
        child.send(signal.SIGSTOP)
        wait_for(lambda: child.stopped or not child.running, 30, "the child to stop")
    wait_for(lambda: not Path(f"/proc/{child.pid}").exists() or not child.running, 30, "the child to be gone")
