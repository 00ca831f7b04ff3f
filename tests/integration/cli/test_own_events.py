"""The how-to on events of one's own: every snippet is run as it stands there, and what it sent is decoded."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from confluent_kafka import murmur2

from consumer.adapters.kafka.codec import decode_message
from consumer.domain.event import Event, EventType
from tests.integration.cli.conftest import Run
from tests.support.kafka_topics import read_topic
from tests.support.platform import Platform, day

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "send-your-own-events.md"
STREAM = "quickstart_trades"


def snippet(title: str) -> str:
    """The one block of code of a section."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```(?:bash|python)\n(.*?)```", section, re.DOTALL)
    return str(block)


@pytest.fixture
def own(platform: Platform, icehaul: Run, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The platform with the how-to's stream, and its topic in the environment."""
    platform.add_stream("quickstart", name=STREAM)
    monkeypatch.setenv("ICEHAUL_CONFIG", str(platform.write()))
    monkeypatch.setenv("ICEHAUL_KAFKA__TOPIC", platform.topic)
    monkeypatch.setenv("ICEHAUL_KAFKA__BOOTSTRAP_SERVERS", platform.endpoints.kafka.bootstrap_servers)
    assert icehaul("topics").code == 0
    return platform


def only_event(platform: Platform) -> Event:
    """The only event of the topic, decoded as a consumer does, on the partition where a consumer expects it."""
    settings = platform.configuration().kafka
    (message,) = read_topic(settings, platform.topic)
    event = decode_message(message)
    assert (event.type, event.stream) == (EventType.TICK, STREAM)
    assert message.partition() == murmur2(STREAM.encode(), settings.partitions)
    return event


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ})
    assert done.returncode == 0, done.stdout + done.stderr


def test_emit_by_hand(own: Platform, icehaul: Run) -> None:
    ended = icehaul(*shlex.split(snippet("From a shell, by icehaul itself"))[1:])
    assert ended.code == 0, ended.err
    assert only_event(own).cutoff > datetime.fromisoformat("2024-01-01T00:00:00+00:00")


def test_the_python_producer(own: Platform) -> None:
    run([sys.executable, "-c", snippet("From Python")])
    event = only_event(own)
    assert (event.cutoff, event.source) == (day("2024-01-31"), "/shop/importer")


@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed (Debian: apt-get install kcat)")
def test_kcat(own: Platform) -> None:
    run(["bash", "-euo", "pipefail", "-c", snippet("From a shell, by kcat")])
    event = only_event(own)
    assert (event.id, event.cutoff) == ("import-2024-01-30", day("2024-01-31"))


def test_the_kcat_snippets_event_keeps_the_contract() -> None:
    """Where kcat is missing, at least what it would send is checked."""
    command = snippet("From a shell, by kcat").split("|\n", maxsplit=1)
    printed = subprocess.run(["bash", "-c", command[0]], capture_output=True, timeout=20, check=True).stdout
    message = _Message(printed)
    assert decode_message(message).cutoff == day("2024-01-31")
    assert f"-k {STREAM}" in command[1]


class _Message:
    """What kcat would send."""

    def __init__(self, value: bytes) -> None:
        self._value = value

    def topic(self) -> str:
        return "icehaul.events"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 0

    def key(self) -> bytes:
        return STREAM.encode()

    def value(self) -> bytes:
        return self._value

    def headers(self) -> list[tuple[str, str | bytes | None]]:
        return [("content-type", b"application/cloudevents+json")]
