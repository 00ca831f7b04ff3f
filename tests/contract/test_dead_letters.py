"""What every sink of dead letters does: the topic of a real broker, and its stand-in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Producer

from consumer.adapters.kafka.codec import raw_headers
from consumer.adapters.kafka.consumer import KafkaMessage
from consumer.adapters.kafka.dead_letters import KafkaDeadLetters
from consumer.adapters.kafka.topics import Topics
from consumer.domain.errors import BrokerUnavailableError, EngineFailedError, IcehaulError, InvalidEventError
from consumer.domain.invalid_reason import InvalidReason as Reason
from consumer.embedded.stack import EmbeddedStack
from consumer.service.runtime.ports import DeadLetters, Message, Partition
from consumer.testing.runtime import MemoryDeadLetters, MemoryMessage
from tests.support.kafka_topics import kafka_settings, read_topic

INVALID = InvalidEventError("data is not JSON", remedy="correct it", reason=Reason.NOT_JSON)


class Letter(NamedTuple):
    """What a reader learns of a dead letter: where the message came from, and why nothing became of it."""

    topic: str
    partition: int
    offset: int
    reason: str
    error: str


@dataclass
class Case:
    """A sink, another one that reaches nothing, two messages of the topic, and what the first sink holds."""

    sink: DeadLetters[Any]
    unreachable: DeadLetters[Any]
    messages: Sequence[Message]
    read: Callable[[], Sequence[Letter]]

    def letter(self, number: int, reason: Reason, error: IcehaulError) -> Letter:
        """What should be read of one of the messages."""
        message = self.messages[number]
        return Letter(message.topic() or "", message.partition() or 0, message.offset() or 0, reason, str(error))


def memory_case() -> Case:
    sink = MemoryDeadLetters[MemoryMessage]()

    def read() -> list[Letter]:
        return [
            Letter(
                message.topic() or "",
                message.partition() or 0,
                message.offset() or 0,
                error.reason if isinstance(error, InvalidEventError) else Reason.OTHER,
                str(error),
            )
            for message, error in sink.letters
        ]

    messages = [MemoryMessage(at=Partition("events", 3), number=number, value="") for number in range(2)]
    return Case(sink, MemoryDeadLetters[MemoryMessage](down=True), messages, read)


def of(found: KafkaMessage) -> Letter:
    said = {name: (value or b"").decode() for name, value in raw_headers(found)}
    place = int(said["icehaul-partition"]), int(said["icehaul-offset"])
    return Letter(said["icehaul-topic"], *place, said["icehaul-reason"], said["icehaul-error"])


@pytest.fixture(params=["memory", "kafka"])
def case(request: pytest.FixtureRequest, unique_name: str) -> Iterator[Case]:
    if request.param == "memory":
        yield memory_case()
        return
    stack: EmbeddedStack = request.getfixturevalue("stack")
    settings = kafka_settings(stack, unique_name)
    Topics(settings).ensure()
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
    for value in (b"\xff{", b""):
        producer.produce(settings.topic, value=value, partition=3)
    assert producer.flush(10) == 0
    away = settings.model_copy(update={"bootstrap_servers": "127.0.0.1:9"})
    with closing(KafkaDeadLetters(settings)) as sink, closing(KafkaDeadLetters(away, timeout_s=1)) as unreachable:
        messages = read_topic(settings, settings.topic)
        yield Case(
            sink,
            unreachable,
            messages,
            lambda: [of(found) for found in read_topic(settings, settings.dead_letter_topic)],
        )


def test_a_letter_says_where_its_message_came_from_and_why(case: Case) -> None:
    case.sink.send(case.messages[0], INVALID)
    assert case.read() == [case.letter(0, Reason.NOT_JSON, INVALID)]


def test_what_no_event_was_the_cause_of_has_another_reason(case: Case) -> None:
    error = EngineFailedError("no such file", remedy="none")
    case.sink.send(case.messages[1], error)
    assert case.read() == [case.letter(1, Reason.OTHER, error)]


def test_every_letter_is_kept_the_same_one_as_often_as_it_is_sent(case: Case) -> None:
    for number in (0, 1, 0):
        case.sink.send(case.messages[number], INVALID)
    letters = [case.letter(number, Reason.NOT_JSON, INVALID) for number in (0, 0, 1)]
    assert sorted(case.read()) == letters


def test_a_letter_that_is_not_acknowledged_is_a_passing_error_and_is_not_kept(case: Case) -> None:
    with pytest.raises(BrokerUnavailableError) as raised:
        case.unreachable.send(case.messages[0], INVALID)
    assert raised.value.remedy
    case.sink.send(case.messages[1], INVALID)
    assert case.read() == [case.letter(1, Reason.NOT_JSON, INVALID)]
