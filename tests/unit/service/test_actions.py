"""What an operator does is recorded before and after it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

import pytest
import typer
from structlog.testing import capture_logs

from consumer.domain.action import Action, ActionPhase
from consumer.domain.errors import IcehaulError, LedgerUnavailableError, UnknownCommitError
from consumer.domain.secrets import HIDDEN, remember
from consumer.entrypoints.cli.main import app
from consumer.service.actions import Actions
from consumer.service.operator import operator
from consumer.testing.actions import MemoryActionLog

OTHERWISE_RECORDED = {"pause", "resume", "replay", "backfill", "cut", "maintain"}
"""Commands that change something without ``--yes``."""


class _Away(MemoryActionLog):
    """A record that can't be written when a phase comes."""

    def __init__(self, phase: ActionPhase, error: IcehaulError) -> None:
        super().__init__()
        self._phase = phase
        self._error = error

    def add(self, action: Action, phase: ActionPhase, detail: str = "") -> None:
        if phase is self._phase:
            raise self._error
        super().add(action, phase, detail)


def test_the_record_has_who_what_and_why_before_it_is_done_and_the_outcome_after_it() -> None:
    log = MemoryActionLog()
    with Actions(log).acting("rewind", "trades", reason="wrong day", arguments={"to": 1, "force": True, "a": None}):
        (begun,) = log.latest(10)
        assert begun.phase is ActionPhase.BEGUN
    _, done = log.latest(10)
    assert done.phase is ActionPhase.DONE
    assert done.action == begun.action
    assert (begun.action.operator, begun.action.command, begun.action.streams) == (operator(), "rewind", ("trades",))
    assert (begun.action.reason, begun.action.arguments) == ("wrong day", {"to": "1", "force": "True"})


def test_two_actions_are_told_apart() -> None:
    log = MemoryActionLog()
    for _ in range(2):
        with Actions(log).acting("pause", "trades"):
            pass
    assert len({entry.action.action_id for entry in log.latest(10)}) == 2


@pytest.mark.parametrize(
    "error", [LedgerUnavailableError("away", remedy="wait"), ValueError("away"), KeyboardInterrupt()]
)
def test_what_fails_is_recorded_as_failed_and_raised(error: BaseException) -> None:
    log = MemoryActionLog()

    def act() -> None:
        with Actions(log).acting("repair", "trades"):
            raise error

    with pytest.raises(type(error)):
        act()
    entry = log.latest(1)[0]
    assert entry.phase is ActionPhase.FAILED
    assert entry.detail.removeprefix(f"{type(error).__name__}: ") in {"away", ""}
    assert entry.detail


@pytest.mark.parametrize("kind", [LedgerUnavailableError, UnknownCommitError])
def test_what_can_not_be_recorded_is_not_done(kind: Callable[..., IcehaulError]) -> None:
    done = False

    def act() -> None:
        nonlocal done
        with Actions(_Away(ActionPhase.BEGUN, kind("away", remedy="wait"))).acting("rewind", "trades"):
            done = True

    with pytest.raises(IcehaulError, match="away"):
        act()
    assert not done


def test_what_was_done_is_done_even_if_its_end_can_not_be_recorded() -> None:
    log = _Away(ActionPhase.DONE, LedgerUnavailableError("away", remedy="wait"))
    with capture_logs() as logs, Actions(log).acting("rewind", "trades"):
        pass
    assert [entry.phase for entry in log.latest(10)] == [ActionPhase.BEGUN]
    assert [line["event"] for line in logs] == ["operator.end_not_recorded"]


def test_no_secret_stands_in_the_record() -> None:
    remember(["hunter2-hunter2"])
    log = MemoryActionLog()

    def act() -> None:
        with Actions(log).acting("pause", "trades", reason="see hunter2-hunter2", arguments={"a": "hunter2-hunter2"}):
            raise ValueError("hunter2-hunter2 is wrong")

    with pytest.raises(ValueError, match="is wrong"):
        act()
    entry = log.latest(1)[0]
    assert "hunter2" not in f"{entry}"
    assert HIDDEN in entry.detail


def commands(typed: typer.Typer, prefix: str = "") -> dict[str, Callable[..., object]]:
    found: dict[str, Callable[..., object]] = {}
    for one in typed.registered_commands:
        assert one.callback is not None
        found[f"{prefix}{one.name or one.callback.__name__}"] = one.callback
    for group in typed.registered_groups:
        assert group.typer_instance is not None
        found |= commands(group.typer_instance, f"{prefix}{group.name} ")
    return found


def changing() -> dict[str, Callable[..., object]]:
    known = commands(app)
    return {
        name: callback
        for name, callback in known.items()
        if "yes" in inspect.signature(callback).parameters or name in OTHERWISE_RECORDED
    }


def test_the_commands_that_change_something_are_known() -> None:
    assert changing().keys() > OTHERWISE_RECORDED
    assert {"rewind", "stream remove", "dlq redrive", "drop-hot"} < changing().keys()


@pytest.mark.parametrize("name", sorted(changing()))
def test_a_command_that_changes_something_is_recorded(name: str) -> None:
    source = inspect.getsource(changing()[name])
    named = f'acting("{name}"' in source or f'acting(\n                "{name}"' in source
    assert named or f'_recorded(application, "{name.removeprefix("stream ")}"' in source
    if "acting = " in source:
        assert re.search(r"\bacting(, told_when_held\(\w*\))?:", source), "it is made, and not entered"
