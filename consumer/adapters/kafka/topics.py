"""The topics: created where they are missing, compared with the configuration where they exist."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartitionInfo
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from consumer.adapters.kafka.delivery import given_options
from consumer.adapters.kafka.errors import UNREACHABLE, translate
from consumer.adapters.kafka.topic_specs import (
    PARTITIONS,
    REPLICAS,
    TopicFinding,
    TopicSpec,
    absent,
    compare,
    topic_specs,
)
from consumer.domain.errors import BrokerUnavailableError, ConfigurationError, IcehaulError
from consumer.settings.connections import KafkaSettings

_READY_S = 30.0
_PAUSE_S = 0.1
# A request that timed out says nothing; the client's last complaint often names the cause.
_VAGUE = frozenset({KafkaError._TIMED_OUT, KafkaError._TRANSPORT})  # noqa: SLF001 - librdkafka's official names


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicReport:
    """What :meth:`Topics.ensure` did and found."""

    created: tuple[str, ...]
    findings: tuple[TopicFinding, ...]


class Topics:
    """Creates and checks the topics; existing ones are never changed."""

    def __init__(self, settings: KafkaSettings, *, timeout_s: float = 15.0) -> None:
        self._specs = topic_specs(settings)
        self._servers = settings.bootstrap_servers
        self._timeout_s = timeout_s
        self._complaint: KafkaError | None = None
        config: dict[str, Any] = {
            "log.connection.close": False,
            **given_options(settings),
            "bootstrap.servers": settings.bootstrap_servers,
            "error_cb": self._complain,
        }
        try:
            self._admin = AdminClient(config, logger=logging.getLogger("confluent_kafka"))
        except KafkaException as error:
            raise ConfigurationError(
                f"kafka.options: the Kafka client refuses its configuration: {error.args[0].str()}",
                remedy="correct the option that the message names",
            ) from None

    def ensure(self) -> TopicReport:
        """Create the topics that are missing, and compare all with the configuration.

        Safe to run by several processes at once. A created topic is ready for use: every partition has a leader.

        Raises:
            BrokerUnavailableError: if no broker answers in time.
            AccessDeniedError: if the broker refuses this user.
            ConfigurationError: if the broker refuses such topics, naming the reason.
        """
        there = self._describe()
        missing = [spec for spec in self._specs if spec.name not in there]
        created = tuple(spec.name for spec in missing if self._create(spec))
        # Also for those that somebody else was faster to create: they may not be ready yet.
        self._wait_for_leaders([spec.name for spec in missing])
        return TopicReport(created=created, findings=self.verify())

    def verify(self) -> tuple[TopicFinding, ...]:
        """Compare the topics with the configuration; changes nothing.

        Raises:
            BrokerUnavailableError, AccessDeniedError
        """
        there = self._describe()
        findings: list[TopicFinding] = []
        for spec in self._specs:
            if spec.name not in there:
                findings.append(absent(spec))
                continue
            partitions = there[spec.name]
            found = {
                PARTITIONS: str(len(partitions)),
                REPLICAS: str(min(len(partition.replicas) for partition in partitions)),
                **self._config_of(spec.name),
            }
            findings += compare(spec, found)
        return tuple(findings)

    def event_partitions(self) -> int:
        """Return how many partitions the event topic has.

        Raises:
            BrokerUnavailableError: if no broker answers in time.
            ConfigurationError: if a topic is missing.
        """
        return len(self._present()[self._specs[0].name])

    def check_present(self) -> None:
        """Ask the broker for the topics: a probe.

        Raises:
            BrokerUnavailableError: if no broker answers in time.
            ConfigurationError: if a topic is missing.
        """
        self._present()

    def _present(self) -> Mapping[str, list[TopicPartitionInfo]]:
        found = self._describe()
        for spec in self._specs:
            if spec.name not in found:
                raise ConfigurationError(f"topic {spec.name} does not exist", remedy="create it: icehaul topics")
        return found

    def _describe(self) -> Mapping[str, list[TopicPartitionInfo]]:
        """Return the partitions of the topics that exist; asking does not create them."""
        names = TopicCollection([spec.name for spec in self._specs])
        doing = "describing the topics"
        futures = self._ask(doing, lambda: self._admin.describe_topics(names, request_timeout=self._timeout_s))
        found = {}
        for name, future in futures.items():
            description = self._answer(doing, future, tolerated=KafkaError.UNKNOWN_TOPIC_OR_PART)
            if description is not None:
                found[name] = description.partitions
        return found

    def _create(self, spec: TopicSpec) -> bool:
        """Create a topic; ``False`` if somebody else was faster."""
        topic = NewTopic(
            spec.name,
            num_partitions=spec.partitions,
            replication_factor=spec.replication_factor,
            config=spec.config,
        )
        doing = f"creating topic {spec.name}"
        futures = self._ask(doing, lambda: self._admin.create_topics([topic], request_timeout=self._timeout_s))
        refused = object()
        answer = self._answer(doing, futures[spec.name], tolerated=KafkaError.TOPIC_ALREADY_EXISTS, instead=refused)
        return answer is not refused

    def _wait_for_leaders(self, names: Sequence[str]) -> None:
        deadline = time.monotonic() + _READY_S
        while names:
            there = self._describe()
            if all(name in there and all(map(_has_leader, there[name])) for name in names):
                return
            if time.monotonic() > deadline:
                raise BrokerUnavailableError(
                    f"topics {', '.join(names)} at {self._servers} lack a leader after {_READY_S} s",
                    remedy="check that enough brokers run for kafka.replication_factor; then do the same again",
                )
            time.sleep(_PAUSE_S)

    def _config_of(self, topic: str) -> dict[str, str]:
        resource = ConfigResource(ResourceType.TOPIC, topic)
        doing = f"reading the configuration of topic {topic}"
        futures = self._ask(doing, lambda: self._admin.describe_configs([resource], request_timeout=self._timeout_s))
        entries = self._answer(doing, futures[resource])
        return {name: str(entry.value) for name, entry in entries.items()}

    def _ask(self, doing: str, call: Callable[[], Any]) -> dict[Any, Future[Any]]:
        self._complaint = None
        try:
            futures: dict[Any, Future[Any]] = call()
        except KafkaException as error:
            raise self._explain(error.args[0], doing) from None
        return futures

    def _answer(self, doing: str, future: Future[Any], *, tolerated: int | None = None, instead: object = None) -> Any:  # noqa: ANN401 - each request has an answer of its own type
        try:
            return future.result(self._timeout_s + 1.0)
        except KafkaException as error:
            if error.args[0].code() == tolerated:
                return instead
            raise self._explain(error.args[0], doing) from None
        except TimeoutError:
            raise BrokerUnavailableError(
                f"{doing} at {self._servers}: no answer within {self._timeout_s} s", remedy=UNREACHABLE
            ) from None

    def _explain(self, error: KafkaError, doing: str) -> IcehaulError:
        cause = self._complaint if error.code() in _VAGUE and self._complaint is not None else error
        return translate(cause, doing=f"{doing} at {self._servers}")

    def _complain(self, error: KafkaError) -> None:
        self._complaint = error


def _has_leader(partition: TopicPartitionInfo) -> bool:
    return partition.leader is not None and partition.leader.id >= 0
