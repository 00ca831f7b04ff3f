"""Waiting for a condition, with a deadline, instead of sleeping."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_POLL_S, _POLL_MOST_S = 0.02, 0.25
_POLLED = 20
"""After what part of the time that it has lasted a wait looks again: many look at servers that others wait for, too."""
_PAUSE = threading.Event()


def wait_for(condition: Callable[[], T | None], deadline_s: float, what: str) -> T:
    """Call ``condition`` until it returns something true, and return that.

    Raises:
        AssertionError: after ``deadline_s`` seconds; it names ``what`` was waited for and the last answer.
    """
    start = time.monotonic()
    while True:
        answer = condition()
        if answer:
            return answer
        lasted = time.monotonic() - start
        if lasted >= deadline_s:
            raise AssertionError(f"waited {deadline_s:g} s in vain for {what}; the last answer was {answer!r}")
        _PAUSE.wait(min(max(_POLL_S, lasted / _POLLED), _POLL_MOST_S))


def wait_until(condition: Callable[[], object], *, seconds: float = 60.0, what: str = "") -> None:
    """Return as soon as the condition holds; fail once the time is over."""
    wait_for(condition, seconds, what or repr(condition))
