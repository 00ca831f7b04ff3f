"""What systemd is told of a process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from consumer.entrypoints.service_manager import GRACE_SECONDS, Phase, ServiceManager
from tests.support.service_socket import ServiceSocket
from tests.support.waiting import wait_until


class _Process:
    """A process whose state a test sets."""

    def __init__(self) -> None:
        self.started = False
        self.alive = True
        self.phase = Phase.WORKING

    def managed(self, address: str, *, watchdog: str | None = "300000", pid: str | None = None) -> ServiceManager:
        environment = {"NOTIFY_SOCKET": address}
        if watchdog is not None:
            environment["WATCHDOG_USEC"] = watchdog
        if pid is not None:
            environment["WATCHDOG_PID"] = pid
        return ServiceManager(
            environment,
            started=lambda: self.started,
            alive=lambda: self.alive,
            phase=lambda: self.phase,
            shutdown_seconds=25,
        )


@pytest.fixture
def process() -> _Process:
    return _Process()


@pytest.fixture
def systemd() -> Iterator[ServiceSocket]:
    with ServiceSocket(f"@icehaul-{uuid4()}") as made:
        yield made


def test_it_is_ready_once_it_has_come_up_and_says_so_once(process: _Process, systemd: ServiceSocket) -> None:
    with process.managed(systemd.address):
        wait_until(lambda: len(systemd.told("WATCHDOG")) > 2)
        assert systemd.told() == []
        process.started = True
        wait_until(lambda: systemd.told() == ["READY=1"])
        seen = len(systemd.told("WATCHDOG"))
        wait_until(lambda: len(systemd.told("WATCHDOG")) > seen + 2)
    assert systemd.told() == ["READY=1"]


def test_the_watchdog_hears_nothing_of_a_process_that_does_not_turn(process: _Process, systemd: ServiceSocket) -> None:
    with process.managed(systemd.address):
        wait_until(lambda: systemd.told("WATCHDOG"))
        process.alive = False
        process.started = True
        wait_until(lambda: systemd.told("READY"))
        seen = len(systemd.told("WATCHDOG"))
        process.phase = Phase.STOPPING
        wait_until(lambda: systemd.told("STOPPING"))
    # One look may have been under way when the process stopped to turn.
    assert len(systemd.told("WATCHDOG")) <= seen + 1


@pytest.mark.parametrize(
    ("watchdog", "pid"), [(None, None), ("", None), ("soon", None), ("0", None), ("300000", "1"), ("300000", "0")]
)
def test_without_a_watchdog_of_its_own_it_is_not_spoken_to(
    process: _Process, systemd: ServiceSocket, watchdog: str | None, pid: str | None
) -> None:
    process.started = True
    with process.managed(systemd.address, watchdog=watchdog, pid=pid):
        wait_until(lambda: systemd.told("READY"))
    assert systemd.told("WATCHDOG") == []


def test_the_watchdog_named_for_this_process_is_spoken_to(process: _Process, systemd: ServiceSocket) -> None:
    with process.managed(systemd.address, pid=str(os.getpid())):
        wait_until(lambda: systemd.told("WATCHDOG"))


def test_an_end_gets_the_time_that_the_configuration_allows_and_some_more(
    process: _Process, systemd: ServiceSocket
) -> None:
    with process.managed(systemd.address):
        process.phase = Phase.STOPPING
        wait_until(lambda: systemd.told("STOPPING"))
    assert systemd.told() == ["STOPPING=1", f"EXTEND_TIMEOUT_USEC={int((25 + GRACE_SECONDS) * 1_000_000)}"]


def test_what_happens_at_the_very_end_is_told_too(process: _Process, systemd: ServiceSocket) -> None:
    with process.managed(systemd.address):
        process.phase = Phase.RELOADING
    wait_until(lambda: len(systemd.told()) > 1)
    assert systemd.told()[0] == "RELOADING=1"
    assert systemd.told()[1].startswith("MONOTONIC_USEC=")


def test_a_path_that_nobody_listens_at_is_complained_of_once_and_stops_nothing(
    process: _Process, tmp_path: Path
) -> None:
    with capture_logs() as logs, process.managed(str(tmp_path / "nobody")):
        wait_until(lambda: logs)
        process.started = True
        process.phase = Phase.STOPPING
    assert [line["event"] for line in logs] == ["service_manager.unreachable"]


def test_without_systemd_nothing_is_said(process: _Process) -> None:
    process.started = True
    with capture_logs() as logs, process.managed(""):
        pass
    assert logs == []
