"""What events leave is done while no event runs or waits, one at a time, in the order of its stream's events."""

from __future__ import annotations

import threading

import pytest

from consumer.service.runtime import leftovers
from consumer.service.runtime.deadline import Deadline
from consumer.service.runtime.work import Task
from consumer.testing.runtime import MemoryMessage
from tests.support.waiting import wait_until
from tests.unit.runtime.conftest import Start

Left = Task[MemoryMessage]


class Clearing:
    """Notes what is cleared, one piece and ``more``; the first piece goes on until the gate is opened."""

    def __init__(self, more: int = 0, *, gate: threading.Event | None = None) -> None:
        self.begun = threading.Event()
        self.cleared: list[str] = []
        self.running = self.most = 0
        self._more = more
        self._gate = gate

    def __call__(self, task: Left) -> bool:
        self.running += 1
        self.most = max(self.most, self.running)
        self.begun.set()
        if self._gate is not None:
            self._gate.wait(5)
        self.running -= 1
        self.cleared.append(task.stream)
        return len(self.cleared) <= self._more


@pytest.fixture(autouse=True)
def soon_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "QUIET_SECONDS", 0.02)


def test_leftovers_wait_while_an_event_runs(start: Start) -> None:
    gate, clearing = threading.Event(), Clearing()
    bench = start(lambda tasks: (tasks[0].stream == "b" and gate.wait(5), None)[1], clear=clearing)
    bench.send("b")
    wait_until(lambda: bench.dispatcher.running([bench.assignment]) == 1)
    bench.send("a")
    wait_until(lambda: bench.finished == [2])
    assert clearing.cleared == []
    gate.set()
    wait_until(lambda: sorted(clearing.cleared) == ["a", "b"])


def test_leftovers_go_on_piece_by_piece_until_nothing_is_left(start: Start) -> None:
    clearing = Clearing(more=2)
    bench = start(lambda _tasks: None, clear=clearing)
    bench.send("a")
    wait_until(lambda: len(clearing.cleared) == 3)
    wait_until(lambda: not bench.dispatcher.busy)
    assert clearing.cleared == ["a", "a", "a"]


def test_an_event_of_the_same_stream_waits_for_the_piece_and_others_do_not(start: Start) -> None:
    gate = threading.Event()
    clearing = Clearing(gate=gate)
    seen: list[tuple[str, int]] = []
    bench = start(lambda tasks: seen.append((tasks[0].stream, len(clearing.cleared))), workers=2, clear=clearing)
    bench.send("a")
    assert clearing.begun.wait(5)
    bench.send("a", minutes=1)
    bench.send("b")
    wait_until(lambda: 3 in bench.finished)
    gate.set()
    wait_until(lambda: 2 in bench.finished)
    assert seen == [("a", 0), ("b", 0), ("a", 1)]


def test_only_one_leftover_is_worked_on_at_a_time(start: Start) -> None:
    gate = threading.Event()
    clearing = Clearing(gate=gate)
    bench = start(lambda _tasks: None, workers=4, clear=clearing)
    for stream in "abcd":
        bench.send(stream)
    wait_until(lambda: len(bench.finished) == 4)
    assert clearing.begun.wait(5)
    gate.set()
    wait_until(lambda: sorted(clearing.cleared) == ["a", "b", "c", "d"])
    assert clearing.most == 1


def test_a_partition_that_is_taken_away_takes_its_leftovers_with_it(start: Start) -> None:
    gate = threading.Event()
    clearing = Clearing(more=9, gate=gate)
    bench = start(lambda _tasks: None, clear=clearing)
    bench.send("a")
    assert clearing.begun.wait(5)
    bench.dispatcher.close([bench.assignment])
    assert bench.assignment.give_way.is_set()
    assert not bench.assignment.abandon.is_set(), "events may run to their end"
    assert not bench.dispatcher.wait([bench.assignment], Deadline.after(0)), "the piece still runs"
    gate.set()
    assert bench.dispatcher.wait([bench.assignment], Deadline.after(5))
    wait_until(lambda: not bench.dispatcher.busy)
    assert clearing.cleared == ["a"]


def test_a_dispatcher_with_nothing_but_leftovers_is_not_busy(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "QUIET_SECONDS", 60.0)
    monkeypatch.setattr(leftovers, "SHARE", 1e-9)
    clearing = Clearing()
    bench = start(lambda _tasks: None, clear=clearing)
    bench.send("a")
    wait_until(lambda: clearing.cleared == ["a"])
    bench.send("b")
    wait_until(lambda: len(bench.finished) == 2)
    wait_until(lambda: not bench.dispatcher.busy)
    assert clearing.cleared == ["a"]
