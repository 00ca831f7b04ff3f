"""Waiting for a condition, with a deadline, instead of sleeping."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_POLL_S = 0.02
_PAUSE = threading.Event()


def wait_for(condition: Callable[[], T | None], deadline_s: float, what: str) -> T:
    """Call ``condition`` until it returns something true, and return that.

    Raises:
        AssertionError: after ``deadline_s`` seconds; it names ``what`` was waited for and the last answer.
    """
    give_up = time.monotonic() + deadline_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= give_up:
            raise AssertionError(f"waited {deadline_s:g} s in vain for {what}; the last answer was {answer!r}")
        _PAUSE.wait(_POLL_S)


def wait_until(condition: Callable[[], object], *, seconds: float = 60.0, what: str = "") -> None:
    """Return as soon as the condition holds; fail once the time is over."""
    wait_for(condition, seconds, what or repr(condition))
