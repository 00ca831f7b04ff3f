from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from consumer.embedded import supervisor
from consumer.embedded.component import Component, ComponentName
from consumer.embedded.control import Progress
from consumer.embedded.errors import PortTakenError
from consumer.embedded.layout import Layout
from consumer.embedded.plan import Plan
from consumer.embedded.process import Launch
from consumer.embedded.supervisor import ProgressPipe, Supervisor
from consumer.embedded.toolchain import Toolchain

LISTEN = """
import socket, sys
port, taken = int(sys.argv[1]), [int(port) for port in sys.argv[2:]]
if port in taken:
    sys.exit("Address already in use")
server = socket.create_server(("127.0.0.1", port))
while True:
    server.accept()[0].close()
"""


class Program(Component):
    """Ends with the complaint about a taken port where its port is among ``taken``."""

    name: ClassVar[ComponentName] = ComponentName.POSTGRES
    start_deadline_s: ClassVar[float] = 20.0

    def __init__(self, layout: Layout, port: int, taken: list[int]) -> None:
        super().__init__(layout.directory, layout.component_log(self.name))
        self._port = port
        self._taken = taken

    @property
    def port(self) -> int:
        return self._port

    def prepare(self) -> None:
        pass

    def launch(self) -> Launch:
        arguments = [str(port) for port in (self._port, *self._taken)]
        return Launch(argv=(sys.executable, "-c", LISTEN, *arguments), cwd=self.home)

    def probe(self) -> None:
        pass


def planned_port(layout: Layout) -> int:
    return Plan.model_validate_json(layout.plan.read_text()).postgres.port


@pytest.mark.parametrize("times", [1, 2])
def test_a_port_lost_between_choice_and_start_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    layout = Layout.make(tmp_path)
    tried: list[int] = []

    def build(_name: ComponentName, plan: Plan, layout: Layout, _toolchain: Toolchain) -> Component:
        tried.append(plan.postgres.port)
        return Program(layout, plan.postgres.port, tried[:times])

    monkeypatch.setattr(supervisor, "build_component", build)

    async def story() -> None:
        under_test = Supervisor(layout, [ComponentName.POSTGRES], ProgressPipe(None))
        await under_test._start_at_free_port(ComponentName.POSTGRES)
        assert planned_port(layout) == tried[-1]
        await under_test._lives[ComponentName.POSTGRES].stop()

    asyncio.run(story())
    assert len(set(tried)) == times + 1


def test_ports_that_are_always_taken_are_given_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(_name: ComponentName, plan: Plan, layout: Layout, _toolchain: Toolchain) -> Component:
        return Program(layout, plan.postgres.port, [plan.postgres.port])

    monkeypatch.setattr(supervisor, "build_component", build)

    async def story() -> None:
        under_test = Supervisor(Layout.make(tmp_path), [ComponentName.POSTGRES], ProgressPipe(None))
        with pytest.raises(PortTakenError, match="Address already in use"):
            await under_test._start_at_free_port(ComponentName.POSTGRES)

    asyncio.run(story())


def test_steps_go_to_the_starter_and_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    pipe = ProgressPipe(writing)
    pipe.send(Progress(component=ComponentName.KAFKA, text="starting"))
    pipe.send(Progress(text="the start failed", error="no disk", remedy="buy one", finished=True))
    pipe.send(Progress(text="after the end"))
    with os.fdopen(reading) as steps:
        received = [json.loads(line) for line in steps]
    assert [step["text"] for step in received] == ["starting", "the start failed"]
    assert received[1]["error"] == "no disk"
    logged = capfd.readouterr().err
    assert re.search(r"kafka: starting\n", logged)
    assert "no disk" in logged
    assert "after the end" in logged


def test_a_starter_that_has_left_does_not_matter() -> None:
    reading, writing = os.pipe()
    pipe = ProgressPipe(writing)
    os.close(reading)
    pipe.send(Progress(text="one"))
    pipe.send(Progress(text="two", finished=True))
