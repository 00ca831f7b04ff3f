"""Waiting for a condition, with a deadline, instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_POLL_S = 0.05

T = TypeVar("T")


def wait_for(condition: Callable[[], T], deadline_s: float, what: str) -> T:
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
        time.sleep(_POLL_S)
