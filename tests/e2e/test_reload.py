"""A running consumer and a running emitter take up a new configuration on SIGHUP, and lose nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from consumer.bootstrap import Application
from consumer.domain.batch import BatchStatus
from consumer.domain.event_factory import tick
from consumer.embedded.stack import EmbeddedStack
from tests.support.platform import Platform, day
from tests.support.processes import children, icehaul, output_of
from tests.support.service_socket import ServiceSocket
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.spark, pytest.mark.timeout(600)]

WATCHDOG = {"WATCHDOG_USEC": "60000000"}


@pytest.fixture
def platform(
    stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    made = Platform(stack.endpoints, unique_name, tmp_path)
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()


@pytest.fixture
def systemd() -> Iterator[ServiceSocket]:
    with ServiceSocket(f"@icehaul-{uuid4()}") as made:
        yield made


def rows_of(view: Application, stream: str) -> int:
    return sum(one.rows for one in view.ledger.batches(stream, 100) if one.status is BatchStatus.PUBLISHED)


def status_of(pid: int) -> Mapping[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_a_consumer_takes_up_a_new_configuration_and_loses_no_row(
    platform: Platform, systemd: ServiceSocket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = platform.add_stream()
    platform.insert(500)
    config = platform.write()
    environment = {**platform.environment(), **WATCHDOG, "NOTIFY_SOCKET": systemd.address, "TMPDIR": str(tmp_path)}
    with Application(platform.configuration(), environment={}) as view:
        view.migrate()
        view.topics.ensure()
        with icehaul("run", "-c", str(config), log=tmp_path / "run.log", environment=environment) as consumer:
            wait_until(lambda: systemd.told("READY"), seconds=120, what="the consumer to be ready")

            config.write_text(config.read_text().replace("lease_seconds: 3", "lease_seconds: soon"))
            os.kill(consumer.pid, signal.SIGHUP)
            refused = consumer.wait_for(r'.*"reload\.refused".*').group()
            assert "consumer.lease_seconds" in refused
            view.event_sink.send([tick(stream=first, boundary=day("2024-01-02"))])
            wait_until(lambda: rows_of(view, first) == 500, seconds=90, what="a batch in spite of the refusal")
            assert systemd.told() == ["READY=1"]

            platform.insert(700, first=500, day="2024-01-02")
            second = platform.add_stream("orders")
            platform.insert(300, table="orders")
            platform.write()
            view.event_sink.send([tick(stream=first, boundary=day("2024-01-03"))])
            os.kill(consumer.pid, signal.SIGHUP)
            wait_until(lambda: systemd.told("READY") == ["READY=1"] * 2, seconds=120, what="the consumer to be back")
            view.event_sink.send([tick(stream=second, boundary=day("2024-01-02"))])
            wait_until(lambda: rows_of(view, second) == 300, seconds=90, what="a batch of the new stream")
            wait_until(lambda: rows_of(view, first) == 1200, seconds=90, what="what came while it began anew")

            assert [line.partition("=")[0] for line in systemd.told()] == [
                "READY", "RELOADING", "MONOTONIC_USEC", "READY",
            ]  # fmt: skip
            assert [status_of(pid)["Name"] for pid in children(consumer.pid)] == ["java"], "something was left behind"
            assert systemd.told("WATCHDOG")
            assert consumer.terminate() == 0
        wait_until(lambda: systemd.told("STOPPING"))
    monkeypatch.setenv("ICEHAUL_CONFIG", str(config))
    assert output_of(["verify"]).count("equal") == 2


@pytest.mark.thorough
def test_an_emitter_takes_up_a_new_configuration(platform: Platform, systemd: ServiceSocket, tmp_path: Path) -> None:
    platform.add_stream()
    platform.insert(50)
    platform.sections["emitter"] = {"tick": "0s"}
    config = platform.write()
    environment = {**platform.environment(), **WATCHDOG, "NOTIFY_SOCKET": systemd.address}
    with Application(platform.configuration(), environment={}) as view:
        view.migrate()
        view.topics.ensure()
    with icehaul("emit", "-c", str(config), log=tmp_path / "emit.log", environment=environment) as emitter:
        wait_until(lambda: systemd.told("READY"), seconds=90, what="the emitter to be ready")
        config.write_text("kafka: [")
        os.kill(emitter.pid, signal.SIGHUP)
        emitter.wait_for(r"reload\.refused")
        second = platform.add_stream("orders")
        platform.insert(50, table="orders")
        platform.write()
        os.kill(emitter.pid, signal.SIGHUP)
        emitter.wait_for(rf'"emitter\.closed".*"{second}"|"{second}".*"emitter\.closed"')
        wait_until(lambda: len(systemd.told("READY")) == 2, seconds=90, what="the emitter to be back")
        assert emitter.terminate() == 0
    wait_until(lambda: systemd.told("STOPPING"))
