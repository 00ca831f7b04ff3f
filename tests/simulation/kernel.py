"""Threads, time and waiting that a simulation owns: one thread runs at a time, and a run can be repeated exactly.

The service's code runs in real threads, of which all but one stand still. A thread goes on when the simulation resumes
it, and stands still again at the *points* that it passes (a port's call, a failpoint) and where it waits. So any order
of the steps of different processes can be played, and none depends on the operating system.
"""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

_STUCK_SECONDS = 120.0
"""How long a thread may run between two points: longer means that it waits for something that is not simulated."""


class Killed(BaseException):
    """Unwinds the threads of a process that was killed; nothing that it does has an effect any more."""


class Process:
    """What lives and dies together: a name, and whether its threads may run."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.frozen = False


@dataclass(frozen=True, slots=True)
class Trap:
    """What happens to the next thread that comes to a point.

    Attributes:
        order: what is ordered to happen there.
        spring: called by the simulation with the thread, which stands still there.
    """

    order: str | None = None
    spring: Callable[[Thread], None] | None = None


class Thread:
    """One simulated thread.

    Attributes:
        at: the point that it is about to pass, ``None`` where it waits or has not begun.
        order: what the simulation wants to happen at that point.
        trapped: the trap that it has come into.
    """

    def __init__(self, process: Process, name: str, run: Callable[[], None], kernel: Kernel) -> None:
        self.process = process
        self.name = f"{process.name}/{name}"
        self.at: str | None = None
        self.order: str | None = None
        self.trapped: Trap | None = None
        self.points = 0
        self.done = False
        self.error: BaseException | None = None
        self.context = contextvars.Context()
        self.predicate: Callable[[], bool] | None = None
        self.deadline: float | None = None
        self._run = run
        self._kernel = kernel

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended."""
        self._kernel.wait(lambda: self.done, timeout)

    @property
    def works(self) -> bool:
        """Whether it stands at a point inside of something that has effects on a stream."""
        return self.at is not None and ("worker" in self.name or "command" in self.name)

    def is_alive(self) -> bool:
        """Tell whether it still runs."""
        return not self.done

    def run(self) -> None:
        """Do its work; called by a carrier."""
        try:
            if not self.process.dead:
                self.context.run(self._run)
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - the simulation judges what a thread may die of
            self.error = error
        self.done = True


class _Carrier:
    """A real thread that carries one simulated thread after the other."""

    def __init__(self) -> None:
        self._go, self._back = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._back.acquire()
        self._load: Thread | None = None
        threading.Thread(target=self._carry, name="simulated", daemon=True).start()

    def resume(self, thread: Thread | None) -> None:
        """Let the carried thread run until it stands still; a new one is given here."""
        if thread is not None:
            self._load = thread
        self._go.release()
        if not self._back.acquire(timeout=_STUCK_SECONDS):
            raise RuntimeError(f"{self._load and self._load.name} waits for something that is not simulated")

    def stand_still(self) -> None:
        """Called by the carried thread: hand over to the simulation until it resumes."""
        self._back.release()
        self._go.acquire()

    def _carry(self) -> None:
        while True:
            self._go.acquire()
            load = self._load
            if load is None:
                self._back.release()
                return
            load.run()
            self._load = None
            self._back.release()

    def end(self) -> None:
        """End the real thread."""
        self._go.release()
        self._back.acquire()


class Kernel:
    """The scheduler and the clock.

    Attributes:
        now: seconds; they move only when the simulation says so.
        passed: how many points were passed.
        failed: threads that died of an error.
        story: lines that tell what happens, if somebody wants to read it.
        traps: what shall happen to the next thread that comes to a point.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.passed = 0
        self.threads: list[Thread] = []
        self.failed: list[Thread] = []
        self.story: list[str] | None = None
        self.traps: dict[str, Trap] = {}
        self.current: Thread | None = None
        self._carriers: dict[Thread, _Carrier] = {}
        self._idle: deque[_Carrier] = deque()

    # ---------------------------------------------------------------------- the simulation's thread

    def spawn(self, process: Process, run: Callable[[], None], name: str) -> Thread:
        """Make a thread that begins when it is resumed."""
        thread = Thread(process, name, run, self)
        self.threads.append(thread)
        return thread

    def ready(self) -> list[Thread]:
        """Return the threads that could go on now, in a fixed order."""
        return [thread for thread in self.threads if self._ready(thread)]

    def resume(self, thread: Thread, points: int, order: str | None = None) -> None:
        """Let a thread pass ``points`` points, or go on until it waits; ``order`` is for the point it stands at."""
        thread.points, thread.order = points, order
        self._go(thread)
        if thread.done:
            self.threads.remove(thread)
            if thread.error is not None:
                self.failed.append(thread)

    def next_deadline(self) -> float | None:
        """Return when the next thread has waited long enough."""
        deadlines = [
            thread.deadline for thread in self.threads if thread.deadline is not None and not thread.process.frozen
        ]
        return min(deadlines, default=None)

    def kill(self, process: Process) -> None:
        """End a process: its threads unwind, without any effect on the world."""
        process.dead, process.frozen = True, False
        for thread in [thread for thread in self.threads if thread.process is process]:
            while not thread.done:
                self._go(thread)
            self.threads.remove(thread)

    def close(self) -> None:
        """End all real threads."""
        for process in {thread.process for thread in self.threads}:
            self.kill(process)
        while self._idle:
            self._idle.pop().end()

    def _ready(self, thread: Thread) -> bool:
        if thread.process.frozen:
            return False
        if thread.predicate is None:
            return True
        return (thread.deadline is not None and thread.deadline <= self.now) or thread.predicate()

    def _go(self, thread: Thread) -> None:
        carrier = self._carriers.get(thread)
        fresh = carrier is None
        if carrier is None:
            carrier = self._carriers[thread] = self._idle.pop() if self._idle else _Carrier()
        self.current = thread
        try:
            carrier.resume(thread if fresh else None)
        finally:
            self.current = None
        if thread.done:
            self._idle.append(self._carriers.pop(thread))

    # --------------------------------------------------------------------- the simulated threads

    def point(self, name: str) -> str | None:
        """Stand still if it is time to, before passing a point; return what is ordered to happen there."""
        thread = self.current
        if thread is None:
            return None
        if thread.process.dead:
            raise Killed
        trap = self.traps.pop(name, None)
        if trap is not None and trap.spring is not None:
            thread.trapped, thread.points = trap, 0
        if thread.points <= 0:
            thread.at = name
            self._carriers[thread].stand_still()
            thread.at = None
            if thread.process.dead:
                raise Killed
        thread.points -= 1
        self.passed += 1
        order = thread.order or (trap.order if trap is not None else None)
        thread.order = None
        if self.story is not None:
            self.story.append(f"    {thread.name} passes {name}{f', ordered: {order}' if order else ''}")
        return order

    def wait(self, predicate: Callable[[], bool], timeout: float | None) -> bool:
        """Stand still until the predicate is true, for at most ``timeout`` seconds, and return what it says."""
        if predicate():
            return True
        thread = self.current
        if thread is None:
            raise RuntimeError("the simulation itself would wait for ever")
        if thread.process.dead:
            raise Killed
        thread.predicate = predicate
        thread.deadline = None if timeout is None else self.now + timeout
        self._carriers[thread].stand_still()
        thread.predicate = thread.deadline = None
        if thread.process.dead:
            raise Killed
        return predicate()


class SimulatedSignal:
    """A flag; see :class:`consumer.service.threads.Signal`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._set = False

    def is_set(self) -> bool:
        """Tell whether it is set."""
        return self._set

    def set(self) -> None:
        """Set it."""
        self._set = True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set."""
        return self._kernel.wait(self.is_set, timeout)


class SimulatedCondition:
    """A condition; see :class:`consumer.service.threads.Condition`. The simulation itself never waits for its lock."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._holder: Thread | None = None
        self._depth = 0
        self._news = 0

    def __enter__(self) -> bool:
        """Take the lock, which its holder may do again."""
        mine = self._kernel.current
        if mine is not None:
            if self._holder is not mine:
                self._kernel.wait(lambda: self._holder is None, None)
                self._holder = mine
            self._depth += 1
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back."""
        if self._holder is not None and self._holder is self._kernel.current:
            self._depth -= 1
            if self._depth == 0:
                self._holder = None

    def wait(self, timeout: float | None = None) -> bool:
        """Give the lock back until there is news."""
        seen = self._news
        return self._pause(lambda: self._news != seen, timeout)

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until the predicate is true."""
        return bool(predicate()) or self._pause(predicate, timeout)

    def notify_all(self) -> None:
        """Tell all who wait that there is news."""
        self._news += 1

    def _pause(self, predicate: Callable[[], bool], timeout: float | None) -> bool:
        mine, depth = self._kernel.current, self._depth
        self._holder, self._depth = None, 0
        try:
            # A wait that has timed out goes on as soon as the lock is free: nobody keeps it while standing still.
            return self._kernel.wait(lambda: self._holder is None and bool(predicate()), timeout)
        finally:
            self._holder, self._depth = mine, depth


class SimulatedThreads:
    """The threads of one process: the port :class:`consumer.service.threads.Threads`."""

    def __init__(self, kernel: Kernel, process: Process) -> None:
        self._kernel = kernel
        self._process = process

    def monotonic(self) -> float:
        """Return the simulated seconds."""
        return self._kernel.now

    def signal(self) -> SimulatedSignal:
        """Return a flag."""
        return SimulatedSignal(self._kernel)

    def condition(self) -> SimulatedCondition:
        """Return a condition."""
        return SimulatedCondition(self._kernel)

    def start(self, run: Callable[[], None], *, name: str) -> Thread:
        """Start a thread of the process; it begins when the simulation lets it."""
        return self._kernel.spawn(self._process, run, name)
