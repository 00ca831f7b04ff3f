"""A task that waits before it tries again leaves its worker to the others."""

from __future__ import annotations

import threading
import time
from collections import Counter

from consumer.service.runtime.deadline import Deadline
from tests.support.waiting import wait_until
from tests.unit.runtime.conftest import Start, Tasks


def test_a_task_that_waits_with_patience_gives_its_place_away_and_takes_it_back_before_new_ones(start: Start) -> None:
    mended, running, most = threading.Event(), Counter[str](), [0]
    order: list[str] = []
    lock = threading.Lock()

    def work(stream: str) -> None:
        with lock:
            running[stream] += 1
            most[0] = max(most[0], running.total())
            order.append(stream)
        time.sleep(0.002)
        with lock:
            running[stream] -= 1

    def run(tasks: Tasks) -> None:
        stream = tasks[0].stream
        work(stream)
        if stream.startswith("poisoned"):
            bench.dispatcher.patient(mended).wait()
            work(f"{stream} again")

    bench = start(run, workers=2)
    for number in range(5):
        bench.send(f"poisoned {number}")
    for number in range(200):
        bench.send(f"healthy {number}")
        if number == 100:
            wait_until(lambda: len(bench.finished) >= 50)
            mended.set()
    wait_until(lambda: len(bench.finished) == 205)
    assert most[0] == 2
    assert not bench.dispatcher.busy
    assert order.index("poisoned 0 again") < len(order) - 5


def test_the_end_does_not_wait_for_a_task_that_waits_with_patience(start: Start) -> None:
    given_up = threading.Event()

    def run(_tasks: Tasks) -> None:
        bench.dispatcher.patient(given_up).wait()

    bench = start(run, workers=1)
    bench.send("a")
    wait_until(lambda: bench.dispatcher.running([bench.assignment]))
    assert not bench.dispatcher.stop(Deadline.after(0.05))
    given_up.set()
    assert bench.dispatcher.stop(Deadline.after(5))
