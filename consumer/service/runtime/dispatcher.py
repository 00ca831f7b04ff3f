"""Runs tasks on a bounded pool of threads: one lane in order, several lanes at once, all lanes in turn."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic

from consumer.domain.turns import Rank
from consumer.service.runtime.deadline import Deadline
from consumer.service.runtime.failures import Verdict
from consumer.service.runtime.leftovers import Leftovers
from consumer.service.runtime.patient_signal import PatientSignal
from consumer.service.runtime.ports import M
from consumer.service.runtime.work import Assignment, Task, merged
from consumer.service.threads import SYSTEM_THREADS, Signal, Thread, Threads


@dataclass(slots=True)
class _Lane(Generic[M]):
    tasks: deque[Task[M]] = field(default_factory=deque)
    running: tuple[Task[M], ...] = ()
    attempts: int = 0
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class _Taken(Generic[M]):
    lane: _Lane[M]
    tasks: tuple[Task[M], ...]
    leftover: bool = False


def no_rank(_stream: str) -> Rank | None:
    """Return the rank of streams that come in the order in which they began to wait."""
    return None


def nothing_left(_task: object) -> bool:
    """Tell of any task that it leaves nothing to do."""
    return False


class Dispatcher(Generic[M]):
    """Bounded workers over many lanes.

    A worker takes the first task of the lane whose turn it is, merged with the queued tasks by :func:`merged`, and
    runs them as one. It is the turn of the lane that has waited longest, but those whose stream has a rank come first.
    If that raises, they go back to the head of their lane, which rests for the verdict's delay without holding a
    worker; a task that waits by itself does so on a ``patient`` signal. Tasks of a closing assignment are dropped.

    What a task leaves to do is begun when no task runs or waits, one at a time, and keeps its lane meanwhile:
    :class:`Leftovers` tells when.

    Args:
        workers: how many tasks run at the same time.
        run: does the work of a task and of the tasks it covers.
        finished: told of tasks that are done, from a worker's thread.
        failed: told of tasks that failed (error, attempt), from a worker's thread; says when to try again.
        threads: where the workers come from.
        rank: which streams come before those that have waited longest.
        leaves: tells, from a worker's thread, whether a task that is done leaves something to do.
        clear: does a bounded piece of what a task has left; tells whether there is more. Raises nothing.
    """

    def __init__(
        self,
        *,
        workers: int,
        run: Callable[[Sequence[Task[M]]], None],
        finished: Callable[[Sequence[Task[M]]], None],
        failed: Callable[[Sequence[Task[M]], Exception, int], Verdict],
        threads: Threads = SYSTEM_THREADS,
        rank: Callable[[str], Rank | None] = no_rank,
        leaves: Callable[[Task[M]], bool] = nothing_left,
        clear: Callable[[Task[M]], bool] = nothing_left,
    ) -> None:
        self._rank = rank
        self._leaves = leaves
        self._clear = clear
        self._leftovers: Leftovers[M] = Leftovers()
        self._workers = workers
        self._run = run
        self._finished = finished
        self._failed = failed
        self._changed = threads.condition()
        self._lanes: dict[Hashable, _Lane[M]] = {}
        self._ready: deque[Hashable] = deque()
        self._resting: list[tuple[float, int, Hashable]] = []
        self._rests = 0
        self._stopped = False
        self._threads = threads
        self._started: list[Thread] = []
        self._active = self._away = self._returning = 0

    def start(self) -> None:
        """Start the workers."""
        # Daemons: a handler that hangs must not keep the process from ending.
        with self._changed:
            for _ in range(self._workers):
                self._start_worker()

    def stop(self, deadline: Deadline) -> bool:
        """Start no further task, wait for the running ones; tell whether all workers ended in time."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._started:
            if thread.is_alive():
                thread.join(deadline.remaining)
        return not any(thread.is_alive() for thread in self._started)

    def submit(self, task: Task[M]) -> None:
        """Queue a task at the end of its lane."""
        with self._changed:
            lane = self._lanes.get(task.lane)
            if lane is None:
                lane = self._lanes[task.lane] = _Lane()
            lane.tasks.append(task)
            if not lane.running and not lane.waiting:
                self._make_ready(task.lane, lane)

    @property
    def crowded(self) -> bool:
        """Whether a task waits for a worker, all of which are taken."""
        with self._changed:
            waiting = any(key in self._lanes and self._lanes[key].tasks for key in self._ready)
            return waiting and self._active + self._returning >= self._workers

    @property
    def busy(self) -> bool:
        """Whether a task is queued, resting or running."""
        with self._changed:
            return bool(self._lanes)

    def running(self, assignments: Collection[Assignment]) -> int:
        """Count the running tasks that belong to any of the assignments."""
        with self._changed:
            return self._running(assignments)

    def close(self, assignments: Collection[Assignment]) -> None:
        """Start no further task of these assignments, forget those that are queued, and let leftovers give up."""
        with self._changed:
            for assignment in assignments:
                assignment.closing = True
                assignment.give_way.set()
            for lane in self._lanes.values():
                lane.tasks = deque(task for task in lane.tasks if not task.assignment.closing)
            for key in [key for key, lane in self._lanes.items() if not lane.tasks and not lane.running]:
                del self._lanes[key]
            self._leftovers.drop_closing()

    def wait(self, assignments: Collection[Assignment], deadline: Deadline) -> bool:
        """Wait until no task of these assignments runs; ``False`` if the deadline came first."""
        with self._changed:
            return self._changed.wait_for(lambda: self._running(assignments) == 0, deadline.remaining)

    def patient(self, signal: Signal) -> Signal:
        """Return a signal that a task may wait for at length: it holds no worker while it does."""
        return PatientSignal(signal, self._lent)

    @contextmanager
    def _lent(self) -> Iterator[None]:
        """Let another task run while the calling worker waits; it goes on before new tasks are taken."""
        with self._changed:
            self._active -= 1
            self._away += 1
            if len(self._started) - self._away < self._workers:
                self._start_worker()
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._returning += 1
                self._changed.wait_for(lambda: self._active < self._workers or self._stopped)
                self._returning -= 1
                self._away -= 1
                self._active += 1

    # ------------------------------------------------------------------------------- under the lock

    def _start_worker(self) -> None:
        name = f"icehaul-worker-{len(self._started)}"
        self._started.append(self._threads.start(self._work, name=name))

    def _running(self, assignments: Collection[Assignment]) -> int:
        return sum(task.assignment in assignments for lane in self._lanes.values() for task in lane.running)

    def _make_ready(self, key: Hashable, lane: _Lane[M]) -> None:
        lane.waiting = True
        self._ready.append(key)
        self._changed.notify_all()

    def _rest(self, key: Hashable, lane: _Lane[M], delay: float) -> None:
        lane.waiting = True
        self._rests += 1
        heapq.heappush(self._resting, (self._threads.monotonic() + delay, self._rests, key))
        self._changed.notify_all()

    def _wake_rested(self) -> float | None:
        """Put lanes that have rested into the queue; return the seconds until the next one has."""
        now = self._threads.monotonic()
        while self._resting and self._resting[0][0] <= now:
            self._ready.append(heapq.heappop(self._resting)[2])
        return self._resting[0][0] - now if self._resting else None

    def _next(self) -> Hashable:
        """Take the key of the lane whose turn it is: the lowest rank, or the longest wait where none has a rank."""
        ranks = []
        for position, key in enumerate(self._ready):
            lane = self._lanes.get(key)
            rank = self._rank(lane.tasks[0].stream) if lane is not None and lane.tasks else None
            if rank is not None:
                ranks.append((rank, position))
        position = min(ranks)[1] if ranks else 0
        key = self._ready[position]
        del self._ready[position]
        return key

    def _take(self) -> _Taken[M] | None:
        """Wait for a task, or a leftover; ``None`` when the dispatcher stops."""
        while not self._stopped:
            pauses = [self._wake_rested()]
            taken = self._take_ready()
            if taken is None and not self._active and not self._returning:
                pauses.append(self._leftovers.pause(self._threads.monotonic()))
                taken = self._take_leftover() if pauses[-1] == 0 else None
            if taken is not None:
                self._active += 1
                return taken
            self._changed.wait(min((pause for pause in pauses if pause), default=None))
        return None

    def _take_ready(self) -> _Taken[M] | None:
        while self._ready and self._active + self._returning < self._workers:
            lane = self._lanes.get(self._next())
            # A lane that was closed while it waited, and maybe opened again and made ready twice.
            if lane is None or lane.running or not lane.tasks:
                continue
            lane.waiting = False
            lane.running = merged(tuple(lane.tasks))
            taken = set(map(id, lane.running))
            lane.tasks = deque(task for task in lane.tasks if id(task) not in taken)
            return _Taken(lane, lane.running)
        return None

    def _take_leftover(self) -> _Taken[M] | None:
        task = self._leftovers.take(self._lanes)
        if task is None:
            return None
        lane = self._lanes[task.lane] = _Lane(running=(task,))
        return _Taken(lane, lane.running, leftover=True)

    def _settle(self, lane: _Lane[M], tasks: Sequence[Task[M]], delay: float | None) -> None:
        """Free a lane after an attempt; with a delay, its tasks are to be tried again."""
        key = tasks[0].lane
        lane.running = ()
        self._active -= 1
        if delay is not None:
            kept = [task for task in tasks if not task.assignment.closing]
            lane.tasks = deque(sorted((*kept, *lane.tasks), key=lambda task: task.number))
        if not lane.tasks:
            del self._lanes[key]
        elif delay is None:
            self._make_ready(key, lane)
        else:
            self._rest(key, lane, delay)
        self._changed.notify_all()

    # ---------------------------------------------------------------------------- in the workers

    def _work(self) -> None:
        while True:
            with self._changed:
                taken = self._take()
            if taken is None:
                return
            if taken.leftover:
                self._clear_leftover(taken)
            else:
                self._run_tasks(taken.lane, taken.tasks)

    def _run_tasks(self, lane: _Lane[M], tasks: Sequence[Task[M]]) -> None:
        delay = self._attempt(lane, tasks)
        leaves = delay is None and self._leaves(tasks[0])
        with self._changed:
            self._leftovers.event_ended(self._threads.monotonic())
            self._settle(lane, tasks, delay)
            if leaves and not tasks[0].assignment.closing:
                self._leftovers.leave(tasks[0])

    def _clear_leftover(self, taken: _Taken[M]) -> None:
        began = self._threads.monotonic()
        more = self._clear(taken.tasks[0])
        with self._changed:
            self._leftovers.leftover_ended(began, self._threads.monotonic())
            self._settle(taken.lane, taken.tasks, None)
            if more and not taken.tasks[0].assignment.closing:
                self._leftovers.leave(taken.tasks[0])

    def _attempt(self, lane: _Lane[M], tasks: Sequence[Task[M]]) -> float | None:
        """Run tasks; return ``None`` if they are done, else the seconds until the next attempt."""
        lane.attempts += 1
        try:
            self._run(tasks)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises, its event is held, never lost
            delay = self._failed(tasks, error, lane.attempts).delay
            if not delay:
                lane.attempts = 0  # a turn that is over is no failure
            return delay
        lane.attempts = 0
        self._finished(tasks)
        return None
