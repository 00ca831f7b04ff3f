"""Producing with an answer: every message is acknowledged by all in-sync replicas by a deadline, or an error."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from consumer.adapters.kafka.acls import Access
from consumer.adapters.kafka.errors import UNREACHABLE, translate
from consumer.domain.errors import BrokerUnavailableError, ConfigurationError
from consumer.domain.event import Coordinates
from consumer.settings.connections import KafkaSettings

_OURS = frozenset(
    {
        "acks",
        "bootstrap.servers",
        "delivery.timeout.ms",
        "enable.idempotence",
        "message.timeout.ms",
        "partitioner",
        "request.required.acks",
    }
)
"""Options that the guarantees rest on, or that have a field of their own."""

_CALLBACK_GRACE_S = 2.0
_POLL_S = 0.1
_METADATA_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A message to produce."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


_MEMBERS_ONLY = frozenset({"heartbeat.interval.ms", "max.poll.interval.ms", "session.timeout.ms"})
"""Options of group members: any other client would warn of each."""


def given_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return the options of the configuration for a client that is no group member, secret ones included."""
    secret = {name: value.get_secret_value() for name, value in settings.secret_options.items()}
    return {name: value for name, value in {**settings.options, **secret}.items() if name not in _MEMBERS_ONLY}


class Delivery:
    """An idempotent producer for one topic; safe to use from several threads.

    ``partitioner`` is librdkafka's name; ``timeout_s`` bounds one call of :meth:`send`. Nothing connects before
    the first call.
    """

    def __init__(self, settings: KafkaSettings, *, topic: str, partitioner: str, timeout_s: float) -> None:
        self.topic = topic
        self._servers = settings.bootstrap_servers
        self._access = Access(settings, topic, ("Write",))
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self._complaint: KafkaError | None = None
        given = given_options(settings)
        if forbidden := sorted(_OURS & given.keys()):
            raise ConfigurationError(
                f"kafka.options: {forbidden[0]!r} may not be set there",
                remedy="remove it: acknowledged events and one partition for each stream depend on it",
            )
        self._config: dict[str, Any] = {
            "client.id": f"icehaul-{socket.gethostname()}-{os.getpid()}",
            "linger.ms": 0,
            "reconnect.backoff.max.ms": 2_000,
            "log.connection.close": False,
            # `icehaul topics` makes topics, nobody else does: one that is unknown for so long is not coming.
            "topic.metadata.propagation.max.ms": 10_000,
            **given,
            "bootstrap.servers": settings.bootstrap_servers,
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": partitioner,
            # librdkafka gives up at the same time as the caller: nothing is sent behind its back later.
            "delivery.timeout.ms": max(1_000, int(timeout_s * 1000)),
            "error_cb": self._complain,
            "logger": logging.getLogger("confluent_kafka"),
        }

    def send(self, records: Sequence[Record]) -> list[Coordinates]:
        """Produce messages and wait for all of them; return where each one stands, in the order given.

        On an error, some of the messages may have been written: sending them again is up to the caller.

        Raises:
            BrokerUnavailableError: if one is not acknowledged in time.
            AccessDeniedError: if the broker refuses this user.
            ConfigurationError: if the client refuses its options, or the broker a message's size.
        """
        deadline = time.monotonic() + self._timeout_s
        producer = self._connected()
        outcomes: dict[int, Coordinates | KafkaError] = {}
        for number, record in enumerate(records):
            self._produce(producer, record, _answer(outcomes, number), deadline)
        while len(outcomes) < len(records) and time.monotonic() < deadline + _CALLBACK_GRACE_S:
            producer.poll(_POLL_S)
        return self._placed(producer, outcomes, len(records))

    def close(self) -> None:
        """Free the client; what :meth:`send` has returned for is on the broker already."""
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(_CALLBACK_GRACE_S)

    def _connected(self) -> Producer:
        with self._lock:
            if self._producer is None:
                try:
                    self._producer = Producer(self._config)
                except KafkaException as error:
                    raise ConfigurationError(
                        f"kafka.options: the Kafka client refuses its configuration: {error.args[0].str()}",
                        remedy="correct the option that the message names",
                    ) from None
            return self._producer

    def _produce(
        self,
        producer: Producer,
        record: Record,
        answer: Callable[[KafkaError | None, Message], None],
        deadline: float,
    ) -> None:
        while True:
            try:
                producer.produce(
                    self.topic, key=record.key, value=record.value, headers=list(record.headers), on_delivery=answer
                )
            except BufferError:
                if time.monotonic() >= deadline:
                    raise BrokerUnavailableError(
                        f"the queue of unsent messages for topic {self.topic} at {self._servers} stays full",
                        remedy=UNREACHABLE,
                    ) from None
                producer.poll(_POLL_S)
            except KafkaException as error:
                raise translate(error.args[0], doing=self._doing(), access=self._access) from None
            else:
                return

    def _placed(
        self, producer: Producer, outcomes: dict[int, Coordinates | KafkaError], expected: int
    ) -> list[Coordinates]:
        failures = [outcome for outcome in outcomes.values() if isinstance(outcome, KafkaError)]
        if any(failure.fatal() for failure in failures):
            # A fatal error of the idempotent producer ends this client, not the process.
            with self._lock:
                if self._producer is producer:
                    self._producer = None
        unanswered = expected - len(outcomes)
        if failures:
            # A client that timed out has often complained of the cause: refused credentials, no route.
            timed_out = failures[0].code() == KafkaError._MSG_TIMED_OUT  # noqa: SLF001 - its official name
            cause = (self._complaint or self._topic_error(producer) if timed_out else None) or failures[0]
            raise translate(
                cause,
                doing=f"{self._doing()}, {len(failures) + unanswered} of {expected} not acknowledged",
                access=self._access,
            )
        if unanswered:
            raise BrokerUnavailableError(
                f"{self._doing()}, {unanswered} of {expected} not acknowledged within {self._timeout_s} s",
                remedy=UNREACHABLE,
            )
        self._complaint = None
        return [outcome for _, outcome in sorted(outcomes.items()) if isinstance(outcome, Coordinates)]

    def _topic_error(self, producer: Producer) -> KafkaError | None:
        """Return what is wrong with the topic; the client itself says nothing about one that does not exist."""
        try:
            topics = producer.list_topics(timeout=_METADATA_S).topics
        except KafkaException:
            return None
        if self.topic not in topics:
            return KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
        error: KafkaError | None = topics[self.topic].error
        return error

    def _doing(self) -> str:
        return f"sending to topic {self.topic} at {self._servers}"

    def _complain(self, error: KafkaError) -> None:
        self._complaint = error


def _answer(outcomes: dict[int, Coordinates | KafkaError], number: int) -> Callable[[KafkaError | None, Message], None]:
    def answer(error: KafkaError | None, message: Message) -> None:
        outcomes[number] = error or Coordinates(
            topic=message.topic() or "", partition=message.partition() or 0, offset=message.offset() or 0
        )

    return answer
