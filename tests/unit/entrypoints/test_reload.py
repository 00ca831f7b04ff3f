"""SIGHUP, and what becomes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from consumer.domain.errors import ConfigurationError
from consumer.entrypoints.reload import Reload
from consumer.entrypoints.service_manager import Phase
from consumer.entrypoints.worker import Worker
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
AGAIN = """
import os, sys
from consumer.entrypoints.reload import Reload
reload = Reload(lambda: None)
with reload.heard():
    print(os.getpid(), sys.argv[1:], flush=True)
    if "ICEHAUL_ONCE" not in os.environ:
        os.environ["ICEHAUL_ONCE"] = "1"
        os.kill(os.getpid(), 1)
        assert reload.wanted()
        reload.carry_out()
    print("the second time")
"""


def hang_up() -> None:
    os.kill(os.getpid(), signal.SIGHUP)


class _Loop:
    """Works until it is told to stop, or for as long as it is held."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.told = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def run(self) -> None:
        self.begun.set()
        assert self.told.wait(60)
        assert self.go.wait(60)

    def stop(self) -> None:
        self.told.set()

    stop_now = stop


class _Idle:
    def run(self, stop: threading.Event, interval: timedelta) -> None:
        stop.wait()


def worker_of(loop: _Loop, reload: Reload) -> Worker:
    second = timedelta(seconds=1)
    return Worker(loop=loop, relay=_Idle(), relay_interval=second, watches={}, reload=reload)


def refuse() -> None:
    raise ConfigurationError("consumer.workers: 0 is too few", remedy="give at least 1")


def test_nothing_is_wanted_without_a_signal() -> None:
    reload = Reload(lambda: None)
    with reload.heard():
        assert not reload.wanted()
    assert not reload.accepted


def test_a_configuration_that_can_be_used_is_accepted() -> None:
    reload = Reload(lambda: None)
    with capture_logs() as logs, reload.heard():
        hang_up()
        assert reload.wanted()
        assert not reload.wanted()
    assert reload.accepted
    assert [line["event"] for line in logs] == ["reload.begun"]


def test_a_configuration_that_can_not_be_used_is_refused_with_its_remedy_and_the_next_one_looked_at() -> None:
    wrong = [True, False]
    reload = Reload(lambda: refuse() if wrong.pop(0) else None)
    with capture_logs() as logs, reload.heard():
        hang_up()
        assert not reload.wanted()
        assert not reload.accepted
        assert not reload.wanted()
        hang_up()
        assert reload.wanted()
    assert [line["event"] for line in logs] == ["reload.refused", "reload.begun"]
    assert (logs[0]["error"], logs[0]["remedy"]) == ("consumer.workers: 0 is too few", "give at least 1")


def test_what_was_not_accepted_is_not_carried_out() -> None:
    reload = Reload(refuse)
    with reload.heard():
        hang_up()
        reload.wanted()
        reload.carry_out()


def test_the_signal_means_what_it_meant_after_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGHUP)
    with Reload(lambda: None).heard():
        assert signal.getsignal(signal.SIGHUP) != before
    assert signal.getsignal(signal.SIGHUP) == before
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda _self: True})())
    with Reload(lambda: None).heard():
        assert signal.getsignal(signal.SIGHUP) == before


def test_the_work_ends_in_good_order_before_the_process_begins_anew() -> None:
    loop, reload = _Loop(), Reload(lambda: None)
    worker = worker_of(loop, reload)

    def hang_up_at_work() -> None:
        loop.begun.wait(60)
        hang_up()

    with reload.heard():
        threading.Thread(target=hang_up_at_work).start()
        assert worker.run() == 0
    assert loop.told.is_set()
    assert reload.accepted
    assert worker.phase is Phase.RELOADING


def test_who_asks_for_the_end_meanwhile_gets_the_end() -> None:
    loop, reload = _Loop(), Reload(lambda: None)
    worker = worker_of(loop, reload)
    loop.go.clear()

    def signals() -> None:
        loop.begun.wait(60)
        hang_up()
        loop.told.wait(60)
        os.kill(os.getpid(), signal.SIGTERM)
        wait_until(lambda: worker.phase is Phase.STOPPING)
        hang_up()
        loop.go.set()

    with reload.heard():
        threading.Thread(target=signals).start()
        assert worker.run() == 0
    assert not reload.accepted


def test_work_goes_on_where_the_configuration_is_refused() -> None:
    loop, reload = _Loop(), Reload(refuse)
    worker = worker_of(loop, reload)
    with capture_logs() as logs, reload.heard():

        def signals() -> None:
            loop.begun.wait(60)
            hang_up()
            wait_until(lambda: logs)
            assert not loop.told.is_set()
            loop.stop()

        threading.Thread(target=signals).start()
        assert worker.run() == 0
    assert logs[0]["event"] == "reload.refused"
    assert not reload.accepted


def test_the_same_process_begins_anew_with_its_own_command() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", AGAIN, "run", "--config", "a b"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, *_, second, last = done.stdout.splitlines()
    assert first == second
    assert first.endswith("['run', '--config', 'a b']")
    assert last == "the second time"
