"""One embedded stack for a whole test run, started by the first test that asks, shared by all xdist workers."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import pytest

from consumer.domain.errors import EmbeddedStackError
from consumer.embedded.errors import StackNotRunningError
from consumer.embedded.layout import Layout
from consumer.embedded.locks import exclusive, is_locked
from consumer.embedded.process_tree import ProcessIdentity
from consumer.embedded.stack import EmbeddedStack

GIVEN = "ICEHAUL_TEST_STACK"
"""Environment variable: the directory of a running stack to use instead (``icehaul stack up``)."""

_START_DEADLINE_S = 900.0  # the first start on a machine downloads jars


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is an xdist worker."""
    return hasattr(config, "workerinput")


def acquire(config: pytest.Config) -> EmbeddedStack:
    """The run's stack; whoever comes first starts it, and it belongs to the process that leads the run."""
    given = os.environ.get(GIVEN)
    if given:
        return EmbeddedStack.attach(Path(given))
    leader = os.getppid() if is_worker(config) else os.getpid()
    directory = _directory(config, leader)
    lock = directory.with_suffix(".lock")
    failure = directory.with_suffix(".failed")
    with exclusive(lock, deadline_s=_START_DEADLINE_S, purpose="starting the tests' stack"):
        if failure.exists():
            # The other workers need not wait for the same failure again.
            raise EmbeddedStackError(failure.read_text(encoding="utf-8"), remedy="see the first failure")
        try:
            return EmbeddedStack.attach(directory)
        except StackNotRunningError:
            _forget_old_runs(directory.parent)
        try:
            return EmbeddedStack.start(directory, owner=leader)
        except EmbeddedStackError as error:
            failure.write_text(error.message, encoding="utf-8")
            raise


def release(config: pytest.Config) -> None:
    """End the run's stack, keeping its logs; called once, by the leader."""
    directory = _directory(config, os.getpid())
    if directory.exists():
        with contextlib.suppress(StackNotRunningError):
            EmbeddedStack.attach(directory).down()
        for entry in directory.iterdir():
            if entry.is_dir() and entry.name != "logs":
                shutil.rmtree(entry)
    directory.with_suffix(".lock").unlink(missing_ok=True)
    directory.with_suffix(".failed").unlink(missing_ok=True)


def _directory(config: pytest.Config, leader: int) -> Path:
    return config.rootpath / "var" / "test" / f"stack-{leader}"


def _forget_old_runs(root: Path) -> None:
    for old in root.glob("stack-*"):
        leader = ProcessIdentity.of(int(old.name.removeprefix("stack-").partition(".")[0]))
        if old.is_dir() and leader is None and not is_locked(Layout(old).lock):
            shutil.rmtree(old, ignore_errors=True)
