"""What a consumer process does beside its poll loop."""

from __future__ import annotations

import threading
from datetime import timedelta

from consumer.entrypoints.worker import Worker


class _Audits:
    """Lasts until it is told to stop."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.stopped = False

    def run(self, stop: threading.Event) -> None:
        self.begun.set()
        self.stopped = stop.wait(60)


class _Loop:
    """Ends once the audits have begun."""

    def __init__(self, audits: _Audits) -> None:
        self._audits = audits

    def run(self) -> None:
        assert self._audits.begun.wait(60)

    def stop(self) -> None:
        raise AssertionError

    stop_now = stop


class _Idle:
    """A relay with nothing to relay, and a watch with nothing to look at."""

    def run(self, stop: threading.Event, interval: timedelta) -> None:
        stop.wait()


def test_audits_run_beside_the_loop_and_end_with_it() -> None:
    audits = _Audits()
    idle, second = _Idle(), timedelta(seconds=1)
    worker = Worker(
        loop=_Loop(audits),
        relay=idle,
        relay_interval=second,
        watches={"idle": (idle, second)},
        audits=audits,
    )
    assert worker.run() == 0
    assert audits.stopped
