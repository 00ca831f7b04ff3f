"""One lane in order, several lanes at once, none at the cost of the others."""

from __future__ import annotations

import threading
import time
from collections import Counter

from consumer.domain.errors import LeaseHeldError, TurnOverError
from consumer.domain.event import EventType
from consumer.service.runtime.deadline import Deadline
from consumer.service.runtime.failures import judge
from consumer.service.runtime.ports import Partition
from consumer.service.runtime.work import Assignment
from tests.support.waiting import wait_until
from tests.unit.runtime.conftest import Start, Tasks


def test_events_of_a_stream_run_one_after_the_other_in_order(start: Start) -> None:
    running: Counter[str] = Counter()
    order: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    overlaps: list[str] = []

    def run(tasks: Tasks) -> None:
        stream = tasks[0].stream
        running[stream] += 1
        if running[stream] > 1:
            overlaps.append(stream)
        order[stream].append(tasks[0].number)
        time.sleep(0.001)
        running[stream] -= 1

    bench = start(run)
    for number in range(90):
        bench.send("abc"[number % 3], type_=EventType.PARTITION_CLOSED, partition_id=str(number))
    wait_until(lambda: len(bench.finished) == 90)
    assert not overlaps
    assert all(numbers == sorted(numbers) and len(numbers) == 30 for numbers in order.values())
    assert not bench.dispatcher.busy


def test_streams_run_at_the_same_time_up_to_the_number_of_workers(start: Start) -> None:
    meeting = threading.Barrier(3, timeout=5)
    bench = start(lambda _tasks: (meeting.wait(), None)[1], workers=3)
    for stream in "abc":
        bench.send(stream)
    wait_until(lambda: len(bench.finished) == 3)


def test_a_dispatcher_is_crowded_while_a_task_waits_for_a_worker(start: Start) -> None:
    gate = threading.Event()
    bench = start(lambda _tasks: (gate.wait(5), None)[1], workers=1)
    crowded = [bench.dispatcher.crowded]
    bench.send("a")
    wait_until(lambda: bench.dispatcher.running([bench.assignment]) == 1)
    crowded.append(bench.dispatcher.crowded)
    bench.send("b")
    crowded.append(bench.dispatcher.crowded)
    gate.set()
    wait_until(lambda: len(bench.finished) == 2)
    crowded.append(bench.dispatcher.crowded)
    assert crowded == [False, False, True, False]


def test_a_turn_that_is_over_goes_behind_those_that_wait_and_counts_as_no_attempt(start: Start) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def run(tasks: Tasks) -> None:
        waiting.wait(5)
        order.append(tasks[0].stream)
        if tasks[0].stream == "backlog" and order.count("backlog") < 3:
            raise TurnOverError("over", remedy="nothing to do")

    bench = start(run, workers=1)
    bench.send("backlog")
    bench.send("tick")
    waiting.set()
    wait_until(lambda: len(bench.finished) == 2)
    assert order == ["backlog", "tick", "backlog", "backlog"]
    assert bench.attempts == [1, 1]


def test_of_the_streams_that_wait_the_lowest_rank_comes_first_and_then_the_longest_wait(start: Start) -> None:
    gate = threading.Event()
    order: list[str] = []

    def run(tasks: Tasks) -> None:
        order.append(tasks[0].stream)
        gate.wait(5)

    ranks = {"d": (1, 2.0), "e": (1, 1.0)}
    bench = start(run, workers=1, rank=ranks.get)
    bench.send("a")
    wait_until(lambda: order == ["a"])
    for stream in "bcdef":
        bench.send(stream)
    gate.set()
    wait_until(lambda: len(bench.finished) == 6)
    assert order == ["a", "e", "d", "b", "c", "f"]


def test_no_more_than_the_workers_run(start: Start) -> None:
    gate = threading.Event()
    running: list[str] = []

    def run(tasks: Tasks) -> None:
        running.append(tasks[0].stream)
        gate.wait(5)

    bench = start(run, workers=2)
    for stream in "abcdef":
        bench.send(stream)
    wait_until(lambda: len(running) == 2)
    assert bench.dispatcher.running([bench.assignment]) == 2
    gate.set()
    wait_until(lambda: len(bench.finished) == 6)


def test_streams_take_turns_so_that_a_long_queue_delays_nobody(start: Start) -> None:
    gate = threading.Event()
    order: list[str] = []

    def run(tasks: Tasks) -> None:
        gate.wait(5)
        order.append(tasks[0].stream)

    bench = start(run, workers=1)
    for number in range(20):
        bench.send("greedy", type_=EventType.PARTITION_CLOSED, partition_id=str(number))
    bench.send("modest")
    gate.set()
    wait_until(lambda: len(bench.finished) == 21)
    assert order.index("modest") <= 2


def test_a_poisoned_stream_does_not_slow_the_others(start: Start) -> None:
    def run(tasks: Tasks) -> None:
        if tasks[0].stream == "poisoned":
            raise LeaseHeldError("held", remedy="wait")

    bench = start(run, workers=1, delay=0.2)
    for number in range(50):
        bench.send("poisoned", minutes=number)
    for number in range(50):
        for stream in "abcdefgh":
            bench.send(stream, minutes=number)
    started = time.monotonic()
    wait_until(lambda: len(bench.finished) == 400)
    assert time.monotonic() - started < 2
    assert bench.failures["poisoned"] >= 1
    bench.dispatcher.close([bench.assignment])


def test_a_failed_event_is_held_at_the_head_of_its_stream_until_it_succeeds(start: Start) -> None:
    attempts: Counter[int] = Counter()

    def run(tasks: Tasks) -> None:
        number = tasks[0].number
        attempts[number] += 1
        if number == 1 and attempts[number] < 4:
            raise LeaseHeldError("held", remedy="wait")

    bench = start(run)
    for number in range(3):
        bench.send("a", type_=EventType.PARTITION_CLOSED, partition_id=str(number))
    wait_until(lambda: len(bench.finished) == 3)
    assert bench.finished == [1, 2, 3]
    assert attempts == {1: 4, 2: 1, 3: 1}


def test_a_thousand_duplicate_triggers_run_twice_at_most(start: Start) -> None:
    gate = threading.Event()
    runs: list[int] = []

    def run(tasks: Tasks) -> None:
        runs.append(len(tasks))
        gate.wait(5)

    bench = start(run)
    for _ in range(1000):
        bench.send("a")
    gate.set()
    wait_until(lambda: len(bench.finished) == 1000)
    assert len(runs) <= 2


def test_a_stream_that_is_behind_by_several_ticks_is_offloaded_up_to_the_latest_one_at_once(start: Start) -> None:
    gate = threading.Event()
    runs: list[list[int]] = []

    def run(tasks: Tasks) -> None:
        gate.wait(5)
        runs.append([task.number for task in tasks])

    bench = start(run, workers=1)
    bench.send("other")  # keeps the worker until all are queued
    wait_until(lambda: bench.dispatcher.running([bench.assignment]))
    for number in range(4):
        bench.send("a", minutes=15 * number)
    gate.set()
    wait_until(lambda: len(bench.finished) == 5)
    assert runs == [[1], [5, 2, 3, 4]]


def test_ticks_that_wait_for_another_attempt_are_merged_with_those_that_come_meanwhile(start: Start) -> None:
    gate = threading.Event()
    runs: list[list[int]] = []

    def run(tasks: Tasks) -> None:
        runs.append([task.number for task in tasks])
        if len(runs) == 1:
            gate.wait(5)
            raise LeaseHeldError("held", remedy="wait")

    bench = start(run)
    bench.send("a")
    wait_until(lambda: bench.dispatcher.running([bench.assignment]))
    bench.send("a", minutes=15)
    gate.set()
    wait_until(lambda: len(bench.finished) == 2)
    assert runs == [[1], [2, 1]]


def test_a_partition_close_is_covered_by_the_same_close_only(start: Start) -> None:
    gate = threading.Event()
    handled: list[tuple[EventType, str | None, int]] = []

    def run(tasks: Tasks) -> None:
        gate.wait(5)
        event = tasks[0].event
        assert event is not None
        handled.append((event.type, event.partition_id, len(tasks)))

    bench = start(run, workers=1)
    bench.send("other")  # keeps the worker until all are queued
    wait_until(lambda: bench.dispatcher.running([bench.assignment]))
    bench.send("a", minutes=9)
    for partition_id in ("202501", "202502", "202501", "202502"):
        bench.send("a", minutes=5, type_=EventType.PARTITION_CLOSED, partition_id=partition_id)
    bench.send("a", minutes=8)
    gate.set()
    wait_until(lambda: len(bench.finished) == 7)
    closed = EventType.PARTITION_CLOSED
    assert handled[1:] == [(EventType.TICK, None, 2), (closed, "202501", 2), (closed, "202502", 2)]


def test_a_closed_assignment_starts_nothing_more_and_is_idle_once_its_running_work_ends(start: Start) -> None:
    gate = threading.Event()
    bench = start(lambda _tasks: (gate.wait(5), None)[1], workers=1)
    other = Assignment(Partition("events", 1))
    first = bench.send("a")
    wait_until(lambda: bench.dispatcher.running([bench.assignment]))
    bench.send("a", minutes=1)
    kept = bench.send("b", assignment=other)
    bench.dispatcher.close([bench.assignment])
    assert not bench.dispatcher.wait([bench.assignment], Deadline.after(0.05))
    gate.set()
    assert bench.dispatcher.wait([bench.assignment], Deadline.after(5))
    wait_until(lambda: not bench.dispatcher.busy)
    assert bench.finished == [first.number, kept.number]


def test_an_attempt_that_fails_while_its_assignment_closes_is_forgotten(start: Start) -> None:
    gate = threading.Event()

    def run(_tasks: Tasks) -> None:
        gate.wait(5)
        raise LeaseHeldError("held", remedy="wait")

    bench = start(run)
    bench.send("a")
    wait_until(lambda: bench.dispatcher.running([bench.assignment]))
    bench.dispatcher.close([bench.assignment])
    gate.set()
    wait_until(lambda: not bench.dispatcher.busy)
    assert bench.finished == []


def test_waiting_times_grow_to_a_cap_and_vary() -> None:
    held = LeaseHeldError("held", remedy="wait")
    assert all(0.1 <= judge(held, attempt).delay <= 3 for attempt in range(1, 200))
    assert all(0.2 <= judge(ValueError(), attempt).delay <= 60 for attempt in range(1, 200))
    assert len({judge(held, 10).delay for _ in range(20)}) > 10
    assert judge(ValueError(), 1).unexpected
    assert not judge(held, 1).unexpected
