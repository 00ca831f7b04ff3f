"""`icehaul status`: what is being done now; and again and again with --watch."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from consumer.bootstrap import Application
from consumer.domain.event_factory import tick
from consumer.domain.window import BEGINNING, Window
from consumer.service.steps import trigger_of
from tests.integration.cli.conftest import Run
from tests.support.ledger_values import batch
from tests.support.platform import Platform, day
from tests.support.waiting import wait_until


@contextmanager
def writing(platform: Platform, stream: str, lease: timedelta) -> Iterator[None]:
    """A consumer that has begun a batch, and holds the stream for as long."""
    with Application(platform.configuration(), environment={}) as application:
        application.ledger.register(stream)
        claim = application.ledger.claim(stream, "host:1:worker", lease)
        application.ledger.bind(claim, source_uuid=uuid4(), target_uuid=uuid4())
        begun = replace(batch(Window(lower=BEGINNING, upper=day("2024-01-02")), stream=stream), id=uuid4())
        application.ledger.begin(claim, begun, trigger_of(tick(stream=stream, boundary=day("2024-01-02"))))
        yield


def test_status_tells_what_is_being_written_by_whom(icehaul: Run, platform: Platform, stream: str) -> None:
    with writing(platform, stream, timedelta(minutes=5)):
        text, data = icehaul("status"), icehaul("status", "-o", "json").data
    assert "beginning → 2024-01-02 00:00:00, attempt 1" in text.out
    assert "written by host:1:worker now" in text.out
    now = data["streams"][0]["now"]
    assert (now["owner"], now["live"]) == ("host:1:worker", True)
    assert 0 <= now["age_seconds"] < 60


def test_status_tells_what_a_dead_consumer_left(icehaul: Run, platform: Platform, stream: str) -> None:
    with writing(platform, stream, timedelta(milliseconds=1)):
        wait_until(
            lambda: not icehaul("status", "-o", "json").data["streams"][0]["now"]["live"], what="the lease's end"
        )
        assert "left by host:1:worker; the next event goes on" in icehaul("status").out


def test_status_of_an_idle_stream_says_nothing_of_work(icehaul: Run, platform: Platform, stream: str) -> None:
    assert icehaul("status", "-o", "json").data["streams"][0]["now"] is None


def watching(*arguments: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "consumer.entrypoints.cli.main", "status", "--watch", "--interval", "0.1", *arguments],
        env={**os.environ, "TERM": "xterm"},
        text=True,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("output", ["json", "text"])
def test_without_a_terminal_every_look_is_printed_until_ctrl_c(platform: Platform, stream: str, output: str) -> None:
    process = watching("-o", output)
    assert process.stdout is not None
    seen = 0
    for line in process.stdout:
        seen += json.loads(line)["streams"][0]["name"] == stream if output == "json" else "1 stream at" in line
        if seen == 3:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")


def test_on_a_terminal_the_screen_is_given_back(platform: Platform, stream: str) -> None:
    controller, terminal = pty.openpty()
    process = watching(stdout=terminal)
    os.close(terminal)
    shown = b""
    while shown.count(b"1 stream at") < 2:
        shown += os.read(controller, 65536)
    assert b"\x1b[?1049h" in shown
    process.send_signal(signal.SIGINT)
    while b"\x1b[?1049l" not in shown:
        shown += os.read(controller, 65536)
    _, err = process.communicate(timeout=20)
    os.close(controller)
    assert (process.returncode, err) == (0, "")


def test_a_server_that_is_away_is_told_and_watched_on(
    platform: Platform, stream: str, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICEHAUL_CLICKHOUSE__PORT", str(closed_port))
    process = watching("-o", "json")
    assert process.stdout is not None
    for _ in range(2):
        assert str(closed_port) in json.loads(process.stdout.readline())["error"]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 0
