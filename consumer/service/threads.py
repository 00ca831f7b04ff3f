"""Threads, waiting and the monotonic clock: the one way to them for everything that decides by time or waits.

The service runs on the operating system's; a simulation puts its own in their place, lets one thread run at a time,
and repeats a run exactly. Wall clocks are no part of it: nothing is decided by the time of the machine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol


class Signal(Protocol):
    """A flag that is set once and can be waited for."""

    def is_set(self) -> bool:
        """Tell whether it is set."""
        ...

    def set(self) -> None:
        """Set it, and wake all who wait."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, for at most ``timeout`` seconds, and tell whether it is."""
        ...


class Condition(Protocol):
    """A lock, and news for those who wait for a change of what it protects."""

    def __enter__(self) -> bool:
        """Take the lock."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Give the lock back until there is news, for at most ``timeout`` seconds; ``False`` if there was none."""
        ...

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until the predicate is true, for at most ``timeout`` seconds, and return what it says last."""
        ...

    def notify_all(self) -> None:
        """Tell all who wait that there is news."""
        ...


class Thread(Protocol):
    """A thread that was started."""

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, for at most ``timeout`` seconds."""
        ...

    def is_alive(self) -> bool:
        """Tell whether it still runs."""
        ...


class Threads(Protocol):
    """Where threads, and what they wait on, come from."""

    def monotonic(self) -> float:
        """Return the seconds on a clock that never goes back."""
        ...

    def signal(self) -> Signal:
        """Return a flag that is not set."""
        ...

    def condition(self) -> Condition:
        """Return a condition with a lock of its own."""
        ...

    def start(self, run: Callable[[], None], *, name: str) -> Thread:
        """Start a thread that does not keep the process from ending."""
        ...


class SystemThreads:
    """The operating system's threads and clock."""

    def monotonic(self) -> float:
        """Return the seconds on the system's monotonic clock."""
        return time.monotonic()

    def signal(self) -> Signal:
        """Return a :class:`threading.Event`."""
        return threading.Event()

    def condition(self) -> Condition:
        """Return a :class:`threading.Condition`."""
        return threading.Condition()

    def start(self, run: Callable[[], None], *, name: str) -> Thread:
        """Start a daemon thread."""
        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        return thread


SYSTEM_THREADS = SystemThreads()
"""What everything runs on unless it is told otherwise."""
