from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from consumer.embedded.component import Component, ComponentName, NotReadyError
from consumer.embedded.control import State
from consumer.embedded.errors import ComponentNotReadyError, PortTakenError
from consumer.embedded.lifecycle import Lifecycle
from consumer.embedded.ports import free_ports
from consumer.embedded.process import Launch
from consumer.embedded.process_tree import ProcessIdentity

LISTEN = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
while True:
    server.accept()[0].close()
"""
IGNORE_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + LISTEN
WITH_CHILD_IN_ITS_OWN_SESSION = (
    """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
print("child", child.pid, flush=True)
"""
    + LISTEN
)


class Program(Component):
    """A component that runs a few lines of Python."""

    name = ComponentName.KAFKA
    start_deadline_s: ClassVar[float] = 20.0
    stop_grace_s: ClassVar[float] = 0.5
    port_taken: ClassVar[re.Pattern[str]] = re.compile("already in use")

    def __init__(self, home: Path, source: str, *, probe: Callable[[], None] = lambda: None) -> None:
        super().__init__(home, home / "program.log")
        self._source = source
        self._port = free_ports(1)[0]
        self._probe = probe
        self.cleaned = 0

    @property
    def port(self) -> int:
        return self._port

    def prepare(self) -> None:
        pass

    def launch(self) -> Launch:
        return Launch(argv=(sys.executable, "-c", self._source, str(self._port)), cwd=self.home)

    def probe(self) -> None:
        self._probe()

    def clean_up(self) -> None:
        self.cleaned += 1


class Impatient(Program):
    start_deadline_s: ClassVar[float] = 1.0


@pytest.fixture
def steps() -> list[str]:
    return []


@pytest.fixture
def identities() -> Iterator[list[ProcessIdentity]]:
    """Processes that must not survive the test."""
    found: list[ProcessIdentity] = []
    yield found
    for identity in found:
        identity.send(signal.SIGKILL)


def identity(life: Lifecycle) -> ProcessIdentity:
    pid = life.status().pid
    assert pid is not None
    found = ProcessIdentity.of(pid)
    assert found is not None
    return found


def test_time_that_goes_by_in_downloads_is_not_time_in_which_a_server_fails_to_start(
    tmp_path: Path, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, downloading = time.monotonic, [0.0]
    monkeypatch.setattr("consumer.embedded.lifecycle.time.monotonic", lambda: clock() + downloading[0])

    class Downloading(Program):
        def prepare(self) -> None:
            downloading[0] += 3600

    async def story() -> None:
        life = Lifecycle(Downloading(tmp_path, LISTEN), steps.append)
        await life.start()
        assert life.status().state is State.READY
        await life.stop()

    asyncio.run(story())


def test_is_ready_once_the_probe_succeeds_and_not_before(tmp_path: Path, steps: list[str]) -> None:
    answers = iter([NotReadyError("warming up"), NotReadyError("still warming up"), None])

    def probe() -> None:
        answer = next(answers)
        if answer is not None:
            raise answer

    async def story() -> None:
        life = Lifecycle(Program(tmp_path, LISTEN, probe=probe), steps.append)
        await life.start()
        assert life.status().state is State.READY
        assert next(answers, "all asked") == "all asked"
        process = identity(life)
        await life.stop()
        assert not process.is_alive()
        assert life.status().state is State.STOPPED

    asyncio.run(story())
    assert steps[0] == "starting"
    assert re.fullmatch(r"ready in \d+\.\d s", steps[1])
    assert steps[2] == "stopped"


def test_one_that_ends_while_starting_is_an_error_with_its_last_words(tmp_path: Path, steps: list[str]) -> None:
    life = Lifecycle(Program(tmp_path, "import sys; sys.exit('no room left')"), steps.append)
    with pytest.raises(
        ComponentNotReadyError, match=r"kafka ended while starting, exit code 1(?s:.*)no room left"
    ) as caught:
        asyncio.run(life.start())
    assert not isinstance(caught.value, PortTakenError)
    assert str(tmp_path / "program.log") in caught.value.remedy
    assert life.status().state is State.STOPPED


def test_a_taken_port_is_told_apart(tmp_path: Path, steps: list[str]) -> None:
    life = Lifecycle(Program(tmp_path, "import sys; sys.exit('bind: already in use')"), steps.append)
    with pytest.raises(PortTakenError):
        asyncio.run(life.start())


def test_one_that_never_gets_ready_is_killed_at_the_deadline(tmp_path: Path, steps: list[str]) -> None:
    def never() -> None:
        raise NotReadyError("no leader yet")

    program = Impatient(tmp_path, LISTEN, probe=never)
    life = Lifecycle(program, steps.append)
    began = time.monotonic()
    with pytest.raises(ComponentNotReadyError, match=r"not ready after 1 s \(no leader yet\).*\nlistening"):
        asyncio.run(life.start())
    assert time.monotonic() - began < 10
    assert program.cleaned == 1


def test_one_that_ignores_the_request_to_stop_is_killed_after_its_grace(
    tmp_path: Path, steps: list[str], identities: list[ProcessIdentity]
) -> None:
    async def story() -> None:
        life = Lifecycle(Program(tmp_path, IGNORE_TERM), steps.append)
        await life.start()
        identities.append(identity(life))
        began = time.monotonic()
        await life.stop()
        assert 0.5 <= time.monotonic() - began < 10

    asyncio.run(story())
    assert not identities[0].is_alive()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_children_in_sessions_of_their_own_end_too(
    tmp_path: Path, steps: list[str], identities: list[ProcessIdentity], end: str
) -> None:
    async def story() -> None:
        life = Lifecycle(Program(tmp_path, WITH_CHILD_IN_ITS_OWN_SESSION), steps.append)
        await life.start()
        logged = re.search(r"child (\d+)", (tmp_path / "program.log").read_text())
        assert logged is not None
        child = ProcessIdentity.of(int(logged.group(1)))
        assert child is not None
        identities.append(child)
        await (life.stop() if end == "stop" else life.kill())

    asyncio.run(story())
    assert not identities[0].is_alive()


def test_a_paused_one_can_be_stopped(tmp_path: Path, steps: list[str]) -> None:
    async def story() -> None:
        life = Lifecycle(Program(tmp_path, LISTEN), steps.append)
        await life.start()
        process = identity(life)
        life.pause()
        assert life.status().state is State.PAUSED
        await life.stop()
        assert not process.is_alive()

    asyncio.run(story())


def test_one_that_ends_later_is_noticed(tmp_path: Path, steps: list[str]) -> None:
    async def story() -> None:
        life = Lifecycle(Program(tmp_path, LISTEN), steps.append)
        await life.start()
        os.kill(identity(life).pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            while life.status().state is not State.EXITED:
                life.notice_exit()
                await asyncio.sleep(0.01)
        assert life.status().pid is None
        assert "exit code -9" in life.status().detail
        await life.start()
        assert life.status().state is State.READY
        await life.stop()

    asyncio.run(story())


def test_a_probe_that_fails_later_makes_it_silent(tmp_path: Path, steps: list[str]) -> None:
    works = [True]

    def probe() -> None:
        if not works[0]:
            raise NotReadyError("no answer")

    async def story() -> None:
        life = Lifecycle(Program(tmp_path, LISTEN, probe=probe), steps.append)
        await life.start()
        works[0] = False
        status = await life.probe()
        assert (status.state, status.detail) == (State.SILENT, "no answer")
        await life.stop()

    asyncio.run(story())


def test_the_callers_secrets_do_not_reach_a_server(
    tmp_path: Path, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICEHAUL_POSTGRES__DSN", "secret")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-javaagent:spy.jar")

    async def story() -> None:
        life = Lifecycle(Program(tmp_path, "import os; print(dict(os.environ), flush=True)\n" + LISTEN), steps.append)
        await life.start()
        await life.stop()

    asyncio.run(story())
    logged = (tmp_path / "program.log").read_text()
    assert "'TZ': 'UTC'" in logged
    assert "secret" not in logged
    assert "spy" not in logged
