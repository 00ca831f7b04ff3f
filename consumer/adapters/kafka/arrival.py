"""What a member makes sure of before it joins: a broker answers, and the topics are there."""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaError, KafkaException

from consumer.adapters.kafka.client import error_of, explain_fatal, unreachable
from consumer.domain.errors import ConfigurationError
from consumer.service.runtime.deadline import Deadline
from consumer.settings.connections import KafkaSettings

_METADATA_SECONDS = 3.0
_PAUSE_SECONDS = 0.1
_MISSING = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})  # noqa: SLF001


def check_topic(
    client: Consumer,
    kafka: KafkaSettings,
    topic: str,
    deadline: Deadline,
    complaint: Callable[[], KafkaError | None],
) -> None:
    """Wait until a broker tells of the topic.

    ``complaint`` returns the client's last one, and raises what the client can't go on after.

    Raises:
        BrokerUnavailableError: if none answers by the deadline.
        ConfigurationError: if the topic is missing, or access is denied.
    """
    while True:
        try:
            metadata = client.list_topics(topic, timeout=min(_METADATA_SECONDS, deadline.remaining + 0.1))
        except KafkaException as error:
            client.poll(0)  # serves the error callback, which may know more
            cause = complaint() or error_of(error)
            if fatal := explain_fatal(error_of(error), kafka, starting=True, topic=topic):
                raise fatal from error
            if deadline.expired:
                raise unreachable(kafka, cause.str()) from error
            continue
        found = metadata.topics[topic].error
        if found is None:
            return
        if fatal := explain_fatal(found, kafka, starting=True, topic=topic):
            raise fatal
        if found.code() in _MISSING:
            raise ConfigurationError(
                f"the topic {topic!r} does not exist on {kafka.bootstrap_servers}",
                remedy="create the topics: icehaul topics",
            )
        if deadline.expired:
            raise unreachable(kafka, found.str())
        time.sleep(_PAUSE_SECONDS)  # the topic's leader is being elected
