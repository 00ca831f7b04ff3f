"""Which topic a name stands for: deleted and created anew, it has another id."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, TopicDescription

from consumer.adapters.kafka.delivery import given_options
from consumer.service.runtime.deadline import Deadline
from consumer.settings.connections import KafkaSettings

_ANSWER_S = 5.0
_LOOK_S = 2.0
"""How often a running member looks whether its topic is still the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicFacts:
    """The topic's id, which the broker made up when it created it, and how many partitions it has."""

    id: str
    partitions: int


class TopicObserver:
    """Asks the broker about one topic. Not thread-safe; nothing connects before the first question."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self._kafka = kafka
        self._topic = topic
        self._client: AdminClient | None = None
        self._asked: Future[TopicDescription] | None = None
        self._next_look = Deadline.after(_LOOK_S)

    def ask(self) -> TopicFacts | None:
        """Return the facts; ``None`` where the topic is missing, or the broker does not tell in time."""
        self._next_look = Deadline.after(_LOOK_S)
        return _facts(self._describe(), _ANSWER_S + 1)

    def look(self) -> TopicFacts | None:
        """Return the facts if a question of some seconds' interval was just answered; never waits."""
        if self._asked is None:
            if self._next_look.expired:
                self._asked = self._describe()
        elif self._asked.done():
            asked, self._asked = self._asked, None
            self._next_look = Deadline.after(_LOOK_S)
            return _facts(asked, 0)
        return None

    def _describe(self) -> Future[TopicDescription] | None:
        if self._client is None:
            config: dict[str, Any] = {
                "log.connection.close": False,
                **given_options(self._kafka),
                "bootstrap.servers": self._kafka.bootstrap_servers,
            }
            self._client = AdminClient(config, logger=logging.getLogger("confluent_kafka"))
        try:
            futures = self._client.describe_topics(TopicCollection([self._topic]), request_timeout=_ANSWER_S)
        except KafkaException:
            return None
        answer: Future[TopicDescription] = futures[self._topic]
        return answer


def _facts(asked: Future[TopicDescription] | None, seconds: float) -> TopicFacts | None:
    if asked is None:
        return None
    try:
        found = asked.result(seconds)
    except (KafkaException, FutureTimeoutError):
        return None
    return TopicFacts(id=str(found.topic_id), partitions=len(found.partitions))
