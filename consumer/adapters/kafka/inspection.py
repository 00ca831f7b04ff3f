"""A look at the broker that a doctor takes: does a member of a group get in, and what does a topic take."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from consumer.adapters.kafka.acls import INSPECTION_GROUP, Access
from consumer.adapters.kafka.client import consumer_config, error_of, explain_fatal, open_consumer, unreachable
from consumer.adapters.kafka.delivery import given_options
from consumer.adapters.kafka.errors import translate
from consumer.adapters.kafka.positions import Memory, Positions
from consumer.adapters.kafka.topic_facts import TopicObserver
from consumer.domain.errors import BrokerUnavailableError, ConfigurationError, IcehaulError
from consumer.service.doctor.broker import GroupStanding
from consumer.settings.connections import ConsumerSettings, KafkaSettings

_POLL_S = 0.1


class BrokerInspection:
    """Asks the broker; every call makes a client of its own."""

    def __init__(self, kafka: KafkaSettings, consumer: ConsumerSettings, *, timeout_s: float = 20.0) -> None:
        self._kafka = kafka
        self._consumer = consumer
        self._timeout_s = timeout_s

    def message_bytes(self, topic: str) -> int | None:
        """Return the largest message that a topic takes; ``None`` where the broker does not tell.

        Raises:
            BrokerUnavailableError, AccessDeniedError, ConfigurationError
        """
        resource = ConfigResource(ResourceType.TOPIC, topic)
        admin = self._admin()  # kept until it has answered: its end would be the request's
        try:
            answer = admin.describe_configs([resource], request_timeout=self._timeout_s)
            entry = answer[resource].result(self._timeout_s + 1.0).get("max.message.bytes")
        except KafkaException as error:
            raise translate(
                error_of(error),
                doing=f"reading the configuration of topic {topic}",
                access=Access(self._kafka, topic, ("DescribeConfigs",)),
            ) from None
        except TimeoutError:
            raise unreachable(self._kafka, "no answer") from None
        return int(entry.value) if entry is not None and str(entry.value).isdecimal() else None

    def join(self) -> float:
        """Join a group of a name that nobody uses, leave it, remove it; return how many seconds joining took.

        Raises:
            BrokerUnavailableError: if there is no broker, or no assignment in time.
            ConfigurationError: if the broker refuses: an unknown protocol, a missing grant, a missing topic.
        """
        group = f"{self._kafka.group}{INSPECTION_GROUP}{uuid4().hex[:12]}"
        settings = self._kafka.model_copy(update={"group": group, "group_instance_id": None})
        failures: list[IcehaulError] = []
        complaints: list[KafkaError] = []

        def on_error(error: KafkaError) -> None:
            complaints.append(error)
            fatal = explain_fatal(error, settings, starting=True)
            if fatal is not None:
                failures.append(fatal)

        config = consumer_config(settings, self._consumer, on_error=on_error, on_commit=lambda _error, _places: None)
        config["auto.offset.reset"] = "latest"  # nothing is read: joining is all
        client = open_consumer(config)
        try:
            return self._joined(client, settings, failures, complaints)
        finally:
            _leave(client)
            self._remove(group)

    def standing(self, memory: Memory) -> GroupStanding:
        """Return where the group stands in each partition of the event topic, as a consumer would find it.

        ``memory`` tells what the ledger knows of a partition's offsets. Nobody joins the group.

        Raises:
            BrokerUnavailableError: if the broker does not answer.
        """
        config = consumer_config(
            self._kafka, self._consumer, on_error=lambda _error: None, on_commit=lambda _error, _places: None
        )
        client = open_consumer({name: value for name, value in config.items() if name != "group.instance.id"})
        try:
            topic = client.list_topics(self._kafka.topic, timeout=self._timeout_s).topics[self._kafka.topic]
            places = [TopicPartition(self._kafka.topic, number) for number in sorted(topic.partitions)]
            positions = Positions(client, TopicObserver(self._kafka, self._kafka.topic), memory)
            return positions.standing(places)
        except KafkaException as error:
            raise unreachable(self._kafka, error_of(error).str()) from None
        finally:
            _leave(client)

    def _joined(
        self, client: Consumer, settings: KafkaSettings, failures: list[IcehaulError], complaints: list[KafkaError]
    ) -> float:
        joined = threading.Event()

        def on_assign(_client: Consumer, _partitions: list[TopicPartition]) -> None:
            joined.set()

        started = time.monotonic()
        client.subscribe([self._kafka.topic], on_assign=on_assign)
        while not joined.is_set():
            message = client.poll(_POLL_S)
            error = message.error() if message is not None else None
            if error is not None:
                complaints.append(error)
                if (fatal := explain_fatal(error, settings, starting=True)) is not None:
                    failures.append(fatal)
                elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    failures.append(_no_topic(self._kafka))
            if failures:
                raise failures[0]
            if time.monotonic() - started > self._timeout_s:
                cause = f": {complaints[-1].str()}" if complaints else ""
                raise BrokerUnavailableError(
                    f"no partition was assigned within {self._timeout_s:g} s{cause}",
                    remedy="check kafka.bootstrap_servers, kafka.group_protocol (classic for brokers before 4.0) and"
                    " the broker's log",
                )
        return time.monotonic() - started

    def _remove(self, group: str) -> None:
        # The broker forgets an empty group by itself, only later.
        admin = self._admin()
        with contextlib.suppress(KafkaException, TimeoutError):
            answers = admin.delete_consumer_groups([group], request_timeout=self._timeout_s)
            answers[group].result(self._timeout_s)

    def _admin(self) -> AdminClient:
        config: dict[str, Any] = {
            "log.connection.close": False,
            **given_options(self._kafka),
            "bootstrap.servers": self._kafka.bootstrap_servers,
        }
        return AdminClient(config, logger=logging.getLogger("confluent_kafka"))


def _no_topic(kafka: KafkaSettings) -> ConfigurationError:
    return ConfigurationError(f"the topic {kafka.topic} does not exist", remedy="create the topics: icehaul topics")


def _leave(client: Consumer) -> None:
    """Close the client, but do not wait for a broker that is away."""
    closing = threading.Thread(target=client.close, name="doctor-close", daemon=True)
    closing.start()
    closing.join(5.0)
