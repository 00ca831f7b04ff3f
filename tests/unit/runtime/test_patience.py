"""A poll waits long while nothing is done, hardly while something has just begun, and little once it takes its time."""

from __future__ import annotations

from consumer.service.runtime.patience import BUSY_SECONDS, BUSY_SECONDS_MAX, IDLE_SECONDS, Patience


def test_the_longer_work_takes_the_longer_a_poll_may_wait_up_to_a_bound() -> None:
    patience = Patience()
    waits = [patience.wait(busy=True, now=100.0 + seconds) for seconds in (0.0, 0.1, 2.0, 4.0, 60.0)]
    assert waits == [BUSY_SECONDS, BUSY_SECONDS, 0.02, 0.04, BUSY_SECONDS_MAX]


def test_new_work_after_a_pause_is_looked_after_at_once_again() -> None:
    patience = Patience()
    patience.wait(busy=True, now=0.0)
    assert patience.wait(busy=True, now=60.0) == BUSY_SECONDS_MAX
    assert patience.wait(busy=False, now=61.0) == IDLE_SECONDS
    assert patience.wait(busy=True, now=62.0) == BUSY_SECONDS
