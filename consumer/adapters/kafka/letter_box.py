"""The dead-letter topic, read from its beginning to its present end, and the way back to the event topic.

What was sent again is noted in the same topic, by a *receipt*: a message without a value that names the letter. So the
topic alone says which letters are open.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from consumer.adapters.kafka.acls import Access
from consumer.adapters.kafka.client import error_of, unreachable
from consumer.adapters.kafka.codec import decode, raw_bytes, raw_headers
from consumer.adapters.kafka.delivery import Delivery, Record, given_options
from consumer.adapters.kafka.errors import translate
from consumer.adapters.kafka.producer import TIMEOUT_S
from consumer.domain.dead_letter import DeadLetter, Place
from consumer.domain.errors import ConfigurationError
from consumer.domain.event import Coordinates, Event
from consumer.settings.connections import KafkaSettings

_FIRST = "icehaul-reason"
"""The first of the headers that a letter has besides the message's own, which stand before it."""
_RECEIPT = "icehaul-receipt"
_POLL_S = 1.0


def decode_letter(letter: DeadLetter) -> Event:
    """Return the event that a letter's message is.

    Raises:
        InvalidEventError: if it is none.
    """
    return decode(key=letter.key, value=letter.value, headers=letter.headers, coordinates=letter.origin)


class KafkaLetterBox:
    """Implements :class:`consumer.service.letters.LetterBox`; reading commits no offsets and joins no group."""

    def __init__(self, settings: KafkaSettings, *, timeout_s: float = TIMEOUT_S) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._events = Delivery(settings, topic=settings.topic, partitioner="murmur2_random", timeout_s=timeout_s)
        self._receipts = Delivery(
            settings, topic=settings.dead_letter_topic, partitioner="murmur2_random", timeout_s=timeout_s
        )

    def close(self) -> None:
        """Free the clients."""
        self._events.close()
        self._receipts.close()

    def letters(self) -> Sequence[DeadLetter]:
        """Return all letters that the topic still has."""
        found: dict[Place, DeadLetter] = {}
        receipts: dict[Place, datetime] = {}
        for message in self._read(self._settings.dead_letter_topic):
            receipt = _receipt(message)
            if receipt is None:
                letter = _letter(message)
                found[letter.place] = letter
            else:
                receipts[receipt] = _time_of(message)
        return [_with_receipt(letter, receipts) for _, letter in sorted(found.items())]

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Send messages to the event topic as they came."""
        self._events.send([Record(key=one.key, value=one.value, headers=list(one.headers)) for one in letters])

    def receipt(self, letters: Sequence[DeadLetter]) -> None:
        """Note that letters were sent again."""
        who = f"{socket.gethostname()}:{os.getpid()}".encode()
        self._receipts.send(
            [
                Record(key=one.key, value=None, headers=[(_RECEIPT, str(one.place).encode()), ("icehaul-by", who)])
                for one in letters
            ]
        )

    def _read(self, topic: str) -> Iterator[Message]:
        """Yield the messages from the beginning of a topic to where it ends now."""
        with closing(self._consumer()) as consumer:
            try:
                starts, ends = self._bounds(consumer, topic)
                consumer.assign(starts)
                yield from self._messages(consumer, ends)
            except KafkaException as error:
                raise translate(
                    error_of(error), doing=f"reading topic {topic}", access=Access(self._settings, topic, ("Read",))
                ) from None

    def _bounds(self, consumer: Consumer, topic: str) -> tuple[list[TopicPartition], dict[int, int]]:
        known = consumer.list_topics(topic, timeout=self._timeout_s).topics.get(topic)
        if known is None or known.error is not None:
            raise ConfigurationError(f"the topic {topic} does not exist", remedy="create the topics: icehaul topics")
        starts: list[TopicPartition] = []
        ends: dict[int, int] = {}
        for number in known.partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=self._timeout_s)
            if low < high:
                starts.append(TopicPartition(topic, number, low))
                ends[number] = high
        return starts, ends

    def _messages(self, consumer: Consumer, ends: dict[int, int]) -> Iterator[Message]:
        deadline = time.monotonic() + self._timeout_s
        while ends:
            message = consumer.poll(_POLL_S)
            if message is None:
                if time.monotonic() > deadline:
                    raise unreachable(self._settings, "no answer")
                continue
            error = message.error()
            partition = message.partition() or 0
            if error is not None:
                # A partition may end in offsets without messages (transactions): its end says so.
                if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its official name
                    raise KafkaException(error)
                ends.pop(partition, None)
                continue
            deadline = time.monotonic() + self._timeout_s
            if partition in ends and (message.offset() or 0) < ends[partition]:
                yield message
            if (message.offset() or 0) + 1 >= ends.get(partition, 0):
                ends.pop(partition, None)

    def _consumer(self) -> Consumer:
        config: dict[str, Any] = {
            "log.connection.close": False,
            **given_options(self._settings),
            "bootstrap.servers": self._settings.bootstrap_servers,
            # No group is joined: partitions are assigned by hand, and nothing is committed.
            "group.id": f"{self._settings.group}.dlq.{uuid4().hex[:12]}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
        return Consumer(config, logger=logging.getLogger("confluent_kafka"))


def _receipt(message: Message) -> Place | None:
    headers = raw_headers(message)
    said = [content for name, content in headers if name == _RECEIPT and content is not None]
    # A message that became a letter may have had such a header itself.
    if not said or any(name == _FIRST for name, _ in headers):
        return None
    partition, _, offset = said[0].decode("ascii", "replace").partition("@")
    if not partition.isdecimal() or not offset.isdecimal():
        return None
    return Place(partition=int(partition), offset=int(offset))


def _letter(message: Message) -> DeadLetter:
    headers = raw_headers(message)
    own = max((number for number, (name, _) in enumerate(headers) if name == _FIRST), default=len(headers))
    added = {name: (content or b"").decode("utf-8", "replace") for name, content in headers[own:]}
    return DeadLetter(
        place=Place(partition=message.partition() or 0, offset=message.offset() or 0),
        origin=_origin(added),
        time=_time_of(message),
        reason=added.get("icehaul-reason", "unknown"),
        error=added.get("icehaul-error", "nothing says why: this message was not put here by icehaul"),
        key=raw_bytes(message.key()),
        value=raw_bytes(message.value()),
        headers=headers[:own],
        cut_off="icehaul-cut-off" in added,
    )


def _origin(added: dict[str, str]) -> Coordinates | None:
    topic, partition, offset = (added.get(f"icehaul-{name}", "") for name in ("topic", "partition", "offset"))
    if not topic or not partition.isdecimal() or not offset.isdecimal():
        return None
    return Coordinates(topic=topic, partition=int(partition), offset=int(offset))


def _time_of(message: Message) -> datetime:
    _, milliseconds = message.timestamp()
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _with_receipt(letter: DeadLetter, receipts: dict[Place, datetime]) -> DeadLetter:
    redriven = receipts.get(letter.place)
    return letter if redriven is None else replace(letter, redriven=redriven)
