"""What every dead-letter topic does for those who read it: the one of a real broker, and its stand-in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from confluent_kafka import Producer

from consumer.adapters.kafka.dead_letters import MAX_LETTER_BYTES, KafkaDeadLetters
from consumer.adapters.kafka.letter_box import KafkaLetterBox
from consumer.adapters.kafka.topics import Topics
from consumer.domain.dead_letter import DeadLetter, Place
from consumer.domain.errors import BrokerUnavailableError, InvalidEventError
from consumer.domain.event import Coordinates
from consumer.domain.invalid_reason import InvalidReason
from consumer.embedded.stack import EmbeddedStack
from consumer.service.letters import LetterBox
from consumer.testing.letters import MemoryLetterBox
from tests.support.kafka_topics import kafka_settings, read_topic

WRONG = InvalidEventError("data is not JSON", remedy="correct it", reason=InvalidReason.NOT_JSON)
HEADERS: list[tuple[str, bytes | None]] = [("content-type", b"text/plain"), ("icehaul-receipt", b"0@0"), ("no", None)]
"""A message may carry a header that only receipts should have."""
LARGE = b"x" * (MAX_LETTER_BYTES + 9)
MESSAGES: list[tuple[bytes | None, bytes, list[tuple[str, bytes | None]]]] = [
    (b"trades", b"{", HEADERS),
    (None, b"\xff\x00", []),
    (b"trades", LARGE, []),
]


@dataclass
class Case:
    """A box with three letters, the last one cut off; another one that reaches nothing; what was sent again."""

    box: LetterBox
    unreachable: LetterBox
    sent: Callable[[], Sequence[tuple[object, object]]]


def memory_case() -> Case:
    letters = [
        DeadLetter(
            place=Place(partition=0, offset=number),
            origin=Coordinates(topic="events", partition=0, offset=number),
            time=datetime.now(UTC),
            reason=InvalidReason.NOT_JSON,
            error=str(WRONG),
            key=key,
            value=value[:MAX_LETTER_BYTES],
            headers=headers,
            cut_off=len(value) > MAX_LETTER_BYTES,
        )
        for number, (key, value, headers) in enumerate(MESSAGES)
    ]
    box, unreachable = MemoryLetterBox(letters), MemoryLetterBox(letters)
    unreachable.down = True
    return Case(box, unreachable, lambda: [(letter.key, letter.value) for letter in box.sent])


def kafka_case(stack: EmbeddedStack, name: str, ending: ExitStack) -> Case:
    settings = kafka_settings(stack, name, partitions=1)
    Topics(settings).ensure()
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers, "message.max.bytes": 2_000_000})
    for key, value, headers in MESSAGES:
        producer.produce(settings.topic, key=key, value=value, headers=list(headers))
    assert producer.flush(30) == 0
    letters = KafkaDeadLetters(settings)
    ending.callback(letters.close)
    for message in read_topic(settings, settings.topic):
        letters.send(message, WRONG)
    box = KafkaLetterBox(settings)
    nowhere = KafkaLetterBox(settings.model_copy(update={"bootstrap_servers": "127.0.0.1:1"}), timeout_s=1)
    ending.callback(box.close)
    ending.callback(nowhere.close)

    def sent() -> Sequence[tuple[object, object]]:
        found = [*read_topic(settings, settings.topic)][len(MESSAGES) :]
        return [(message.key(), message.value()) for message in found]

    return Case(box, nowhere, sent)


@pytest.fixture(params=["memory", "kafka"])
def case(request: pytest.FixtureRequest, unique_name: str) -> Iterator[Case]:
    if request.param == "memory":
        yield memory_case()
        return
    with ExitStack() as ending:
        yield kafka_case(request.getfixturevalue("stack"), unique_name, ending)


def test_letters_are_read_as_they_were_put_there(case: Case) -> None:
    letters = case.box.letters()
    assert [(one.key, list(one.headers)) for one in letters] == [(key, headers) for key, _, headers in MESSAGES]
    assert [one.value for one in letters[:2]] == [value for _, value, _ in MESSAGES[:2]]
    assert [one.place for one in letters] == [Place(partition=0, offset=number) for number in range(3)]
    assert [one.origin.offset for one in letters if one.origin is not None] == [0, 1, 2]
    assert {(one.reason, one.error) for one in letters} == {(InvalidReason.NOT_JSON.value, str(WRONG))}
    assert [one.cut_off for one in letters] == [False, False, True]
    assert [one.redriven for one in letters] == [None] * 3


def test_a_message_is_sent_as_it_came_and_its_receipt_is_kept(case: Case) -> None:
    first, second, _ = case.box.letters()
    case.box.send([second, first])
    assert sorted(case.sent(), key=str) == sorted([(one.key, one.value) for one in (first, second)], key=str)
    assert [one.redriven for one in case.box.letters()] == [None] * 3
    case.box.receipt([second])
    assert [one.redriven is not None for one in case.box.letters()] == [False, True, False]


def test_a_broker_that_is_away_is_an_error(case: Case) -> None:
    letters = case.box.letters()
    for step in (case.unreachable.letters, lambda: case.unreachable.send(letters[:1])):
        with pytest.raises(BrokerUnavailableError):
            step()
