"""`icehaul dlq` as an operator meets it, and the commands of its page as they stand there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from confluent_kafka import Producer

from consumer.adapters.kafka.dead_letters import KafkaDeadLetters
from consumer.adapters.kafka.topics import Topics
from consumer.domain.errors import InvalidEventError
from consumer.domain.invalid_reason import InvalidReason
from consumer.settings.connections import KafkaSettings
from tests.integration.cli.conftest import Run
from tests.support.kafka_topics import read_topic
from tests.support.platform import Platform

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "handle-dead-letters.md"
UNKNOWN = InvalidEventError("no such stream", remedy="add it", reason=InvalidReason.UNKNOWN_STREAM)


@pytest.fixture
def kafka(platform: Platform, stream: str) -> KafkaSettings:
    """A dead-letter topic with an event of the configured stream at 0@0, and one of a stream that nobody knows."""
    settings = platform.configuration().kafka.model_copy(update={"partitions": 1})
    Topics(settings).ensure()
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
    for name in (stream, "nobody"):
        event = {
            "specversion": "1.0",
            "id": f"tick-{name}",
            "source": "/tests",
            "type": "icehaul.tick.v1",
            "time": "2024-01-02T00:00:00Z",
            "data": {"stream": name, "cutoff": "2024-01-02T00:00:00Z"},
        }
        producer.produce(settings.topic, key=name, value=json.dumps(event), headers={"bell": b"\x07"})
    assert producer.flush(30) == 0
    letters = KafkaDeadLetters(settings)
    for message in read_topic(settings, settings.topic):
        letters.send(message, UNKNOWN)
    letters.close()
    return settings


def test_the_page_works_as_written(icehaul: Run, kafka: KafkaSettings) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    commands = [shlex.split(line)[1:] for block in blocks for line in block.splitlines() if line]
    assert [command[1] for command in commands] == ["list", "list", "show", "redrive", "redrive"]
    for command in commands:
        ended = icehaul(*command)
        # One of the two letters is for a stream that is still unknown.
        assert ended.code == (1 if "--all" in command else 0), ended.err
    assert len(read_topic(kafka, kafka.topic)) == 3
    assert "1 dead letter" in icehaul("dlq", "list").out


def test_letters_are_told_as_data(icehaul: Run, kafka: KafkaSettings, stream: str) -> None:
    listed = icehaul("dlq", "list", "--output", "json").data["letters"]
    assert [(one["letter"], one["reason"], one["topic"], one["offset"]) for one in listed] == [
        ("0@0", "unknown-stream", kafka.topic, 0),
        ("0@1", "unknown-stream", kafka.topic, 1),
    ]
    shown = icehaul("dlq", "show", "0@0", "--output", "json").data
    assert bytes.fromhex(shown["key"]).decode() == stream
    assert shown["headers"] == [{"name": "bell", "value": "07"}]
    done = icehaul("dlq", "redrive", "--reason", "unknown-stream", "--yes", "--output", "json")
    assert done.code == 1
    assert [one["verdict"] for one in done.data["letters"]] == ["redriven", "still invalid"]
    everything = icehaul("dlq", "list", "--all", "--output", "json").data["letters"]
    assert [one["redriven"] is not None for one in everything] == [True, False]


def test_nothing_in_a_letter_acts_on_the_terminal(icehaul: Run, kafka: KafkaSettings) -> None:
    out = icehaul("dlq", "show", "0@0").out
    assert "\x07" not in out
    assert "bell: \\x07" in out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["redrive"], "--all"),
        (["redrive", "0@0", "--all"], "--all"),
        (["show", "zero"], "'zero'"),
        (["show", "0@99"], "no dead letter at 0@99"),
    ],
)
def test_a_choice_that_means_nothing_is_refused(
    icehaul: Run, kafka: KafkaSettings, arguments: list[str], named: str
) -> None:
    ended = icehaul("dlq", *arguments)
    assert (ended.code, ended.out) == (2, "")
    ended.explained(named)
