"""Failpoints are off unless they are named, and hit at the time that was asked for."""

from __future__ import annotations

import os
import signal

import pytest

from consumer.domain.errors import ConfigurationError, EngineFailedError
from consumer.service.failpoints import POINTS, Failpoints, Mode

HERE = "batch.written"


def hits(failpoints: Failpoints, times: int) -> list[int]:
    """Which of so many times the point failed, counted from 1."""
    failed = []
    for time in range(1, times + 1):
        try:
            failpoints.hit(HERE)
        except EngineFailedError:
            failed.append(time)
    return failed


@pytest.mark.parametrize("specification", ["", " ", ",", " , "])
def test_nothing_named_is_nothing_armed(specification: str) -> None:
    failpoints = Failpoints(specification)
    for point in POINTS:
        failpoints.hit(point)


@pytest.mark.parametrize(("suffix", "times"), [("", [1]), ("@1", [1]), ("@3", [3]), ("@9", [])])
def test_a_point_fails_once_at_the_time_that_was_asked_for(suffix: str, times: list[int]) -> None:
    assert hits(Failpoints(f"{HERE}=raise{suffix}"), 5) == times


def test_points_are_armed_one_by_one_and_count_for_themselves() -> None:
    failpoints = Failpoints(f"event.done=raise@2, {HERE}=raise")
    failpoints.hit("event.done")
    assert hits(failpoints, 3) == [1]
    with pytest.raises(EngineFailedError, match=r"failpoint event\.done was hit"):
        failpoints.hit("event.done")


@pytest.mark.parametrize(("mode", "number"), [(Mode.KILL, signal.SIGKILL), (Mode.STOP, signal.SIGSTOP)])
def test_the_process_sends_itself_the_modes_signal(
    monkeypatch: pytest.MonkeyPatch, mode: Mode, number: signal.Signals
) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, signal_: sent.append((pid, signal_)))
    failpoints = Failpoints(f"{HERE}={mode}@2")
    failpoints.hit(HERE)
    assert sent == []
    failpoints.hit(HERE)
    assert sent == [(os.getpid(), number)]


@pytest.mark.parametrize(
    "specification",
    ["nowhere=raise", HERE, f"{HERE}=", f"{HERE}=explode", f"{HERE}=raise@x", f"{HERE}=raise@-1", f"{HERE}=raise@0"],
)
def test_a_wrong_specification_is_refused_with_points_and_modes(specification: str) -> None:
    with pytest.raises(ConfigurationError, match="ICEHAUL_FAILPOINTS") as caught:
        Failpoints(specification)
    assert specification in caught.value.message
    assert HERE in caught.value.remedy
    assert "kill" in caught.value.remedy
