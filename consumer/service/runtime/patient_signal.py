"""A signal that may be waited for at length."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from consumer.service.threads import Signal


class PatientSignal:
    """A signal whose waiting is wrapped in something."""

    def __init__(self, signal: Signal, waiting: Callable[[], AbstractContextManager[None]]) -> None:
        self._signal = signal
        self._waiting = waiting

    def is_set(self) -> bool:
        """Tell whether it is set."""
        return self._signal.is_set()

    def set(self) -> None:
        """Set it."""
        self._signal.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, for at most ``timeout`` seconds, and tell whether it is."""
        if self._signal.is_set():
            return True
        with self._waiting():
            return self._signal.wait(timeout)
