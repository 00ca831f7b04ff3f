"""Failpoints are off unless they are named, and do what their mode says at the time that was asked for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from types import ModuleType
from typing import Any

import pytest

from consumer.domain.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    EngineFailedError,
    IcehaulError,
    LedgerUnavailableError,
    StoreUnavailableError,
    UnknownCommitError,
)
from consumer.failpoints.acting import MODES, Failpoints, Mode, refusal
from consumer.failpoints.effect import Component
from consumer.failpoints.effects import EFFECTS, POINTS
from tests.support.waiting import wait_until

HERE = "batch.after-write"


def hits(failpoints: Failpoints, times: int) -> list[int]:
    """Which of so many times the point failed, counted from 1."""
    failed = []
    for number in range(1, times + 1):
        try:
            failpoints.hit(HERE)
        except EngineFailedError:
            failed.append(number)
    return failed


# ------------------------------------------------------------------------------------------- specification


class NeverLocked:
    """A lock that must not be asked for."""

    def __enter__(self) -> None:
        pytest.fail("a point that is not armed costs more than a look-up")

    def __exit__(self, *_: object) -> None: ...


@pytest.mark.parametrize("specification", ["", " ", ",", " , "])
def test_nothing_named_is_nothing_armed(specification: str, monkeypatch: pytest.MonkeyPatch) -> None:
    failpoints = Failpoints(specification)
    monkeypatch.setattr(failpoints, "_lock", NeverLocked())
    for point in POINTS:
        failpoints.hit(point)
    assert failpoints.for_job() == ""


@pytest.mark.parametrize(("suffix", "times"), [("", [1]), ("@1", [1]), ("@3", [3]), ("@9", [])])
def test_a_point_fails_once_at_the_time_that_was_asked_for(suffix: str, times: list[int]) -> None:
    assert hits(Failpoints(f"{HERE}=raise{suffix}"), 5) == times


def test_points_are_armed_one_by_one_and_count_for_themselves() -> None:
    failpoints = Failpoints(f"event.after-handle=raise@2, {HERE}=raise")
    failpoints.hit("event.after-handle")
    assert hits(failpoints, 3) == [1]
    with pytest.raises(EngineFailedError, match=r"failpoint event\.after-handle was hit"):
        failpoints.hit("event.after-handle")


@pytest.mark.parametrize(
    "specification",
    [
        "nowhere=raise",
        HERE,
        f"{HERE}=",
        f"{HERE}=explode",
        f"{HERE}=raise@x",
        f"{HERE}=raise@-1",
        f"{HERE}=raise@0",
        f"{HERE}=raise(1)",
        f"{HERE}=kill(1)",
        f"{HERE}=delay",
        f"{HERE}=delay()",
        f"{HERE}=delay(x)",
        f"{HERE}=stop(-1)",
        "batch.write=raise",
    ],
)
def test_a_wrong_specification_is_refused_with_what_is_allowed(specification: str) -> None:
    with pytest.raises(ConfigurationError, match="ICEHAUL_FAILPOINTS") as caught:
        Failpoints(specification)
    assert specification in caught.value.message
    assert "icehaul failpoints" in caught.value.remedy
    for mode in Mode:
        assert mode in caught.value.remedy


def test_a_point_is_armed_for_one_time_only() -> None:
    with pytest.raises(ConfigurationError, match="second time"):
        Failpoints(f"{HERE}=raise@1,{HERE}=kill@2")


@pytest.mark.parametrize(
    ("point", "why"),
    [
        ("publish.before-commit", "nothing has been applied"),
        ("task.after-read", "reading changes nothing"),
        ("event.after-handle", "no answer"),
    ],
)
def test_an_answer_can_be_lost_only_where_there_is_one(point: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Failpoints(f"{point}=apply-then-raise")


def test_every_mode_is_described() -> None:
    assert list(MODES) == list(Mode)


# ------------------------------------------------------------------------------------------- what modes do


@pytest.mark.parametrize("point", POINTS)
def test_raise_raises_what_a_failed_call_raises(point: str) -> None:
    with pytest.raises(IcehaulError, match="was hit") as caught:
        Failpoints(f"{point}=raise").hit(point)
    assert type(caught.value) is POINTS[point].effect.fails


@pytest.mark.parametrize(
    ("point", "error"),
    [
        ("publish.after-commit", UnknownCommitError),
        ("batch.after-advance", UnknownCommitError),
        ("target.after-create", UnknownCommitError),
        ("lease.after-claim", LedgerUnavailableError),
        ("publish.after-stage", StoreUnavailableError),
        ("offset.after-commit", BrokerUnavailableError),
    ],
)
def test_apply_then_raise_raises_what_a_lost_answer_looks_like(point: str, error: type[IcehaulError]) -> None:
    with pytest.raises(error, match="was hit"):
        Failpoints(f"{point}=apply-then-raise").hit(point)


def test_every_effect_says_what_a_lost_answer_looks_like_or_why_there_is_none() -> None:
    for effect in EFFECTS.values():
        after = POINTS[effect.points[1]]
        assert (refusal(after, Mode.APPLY_THEN_RAISE) is None) is isinstance(effect.lost, type)


@pytest.mark.parametrize(
    ("mode", "sends", "number"),
    # A stop is sent to the thread: it takes effect at the point itself, and not a little later.
    [(Mode.KILL, (os, "kill"), signal.SIGKILL), (Mode.STOP, (signal, "pthread_kill"), signal.SIGSTOP)],
)
def test_the_process_sends_itself_the_modes_signal(
    monkeypatch: pytest.MonkeyPatch, mode: Mode, sends: tuple[ModuleType, str], number: signal.Signals
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(*sends, lambda _, signal_: sent.append(signal_))
    failpoints = Failpoints(f"{HERE}={mode}@2")
    failpoints.hit(HERE)
    assert sent == []
    failpoints.hit(HERE)
    assert sent == [number]


def test_delay_waits_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    Failpoints(f"{HERE}=delay(2.5)").hit(HERE)
    assert waited == [2.5]


_STOPPED = """
import threading, time
from consumer.failpoints.acting import Failpoints
turns = 0
def turn():
    global turns
    while True:
        turns += 1
        time.sleep(0.01)
threading.Thread(target=turn, daemon=True).start()
started = time.monotonic()
Failpoints("batch.after-write=stop(1.5)").hit("batch.after-write")
print(turns, time.monotonic() - started)
"""


def test_a_process_that_is_stopped_for_a_while_stands_still_and_goes_on_by_itself() -> None:
    process = subprocess.Popen([sys.executable, "-c", _STOPPED], stdout=subprocess.PIPE, text=True)
    states: set[str] = set()

    def state() -> bool:
        fields = read_stat(process.pid)
        states.add(fields)
        return fields == "T"

    wait_until(state, what="the process to stop")
    output, _ = process.communicate(timeout=60)
    turns, seconds = output.split()
    assert process.returncode == 0
    assert float(seconds) >= 1.5
    assert int(turns) < 140, "the other threads stood still, too"


def read_stat(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123 - gone as soon as the process is
        return stat.read().rpartition(")")[2].split()[0]


# ------------------------------------------------------------------------------------------- around an effect


class Recorder(Failpoints):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def hit(self, point: str) -> None:
        self.seen.append(point)


def test_an_effect_has_a_point_before_and_one_after_it() -> None:
    failpoints = Recorder()
    with failpoints.around("lease.claim"):
        failpoints.seen.append("the effect")
    assert failpoints.seen == ["lease.before-claim", "the effect", "lease.after-claim"]


def test_an_effect_that_fails_has_not_been_applied() -> None:
    failpoints = Recorder()
    with pytest.raises(KeyError), failpoints.around("lease.claim"):
        raise KeyError
    assert failpoints.seen == ["lease.before-claim"]


# ------------------------------------------------------------------------------------------- tasks


def test_points_of_tasks_travel_with_the_job_that_was_asked_for_and_with_no_other() -> None:
    failpoints = Failpoints("task.after-close=stop(2)@2,task.before-read=kill,batch.after-write=raise")
    jobs = [failpoints.for_job() for _ in range(3)]
    assert jobs == ["task.before-read=kill", "task.after-close=stop(2)", ""]


def test_what_travels_can_be_armed_in_the_task() -> None:
    carried = Failpoints("task.before-answer=raise@7")
    for _ in range(6):
        assert carried.for_job() == ""
    with pytest.raises(EngineFailedError):
        Failpoints(carried.for_job()).hit("task.before-answer")


def test_counting_is_safe_from_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(os, "kill", lambda *_: sent.append(1))
    failpoints = Failpoints(f"{HERE}=kill@500")
    threads = [threading.Thread(target=lambda: hits(failpoints, 100)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent) == 1


def test_every_component_has_effects() -> None:
    assert {effect.component for effect in EFFECTS.values()} == set(Component)
