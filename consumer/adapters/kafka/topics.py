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

from consumer.adapters.kafka.acls import Access
from consumer.adapters.kafka.delivery import given_options
from consumer.adapters.kafka.errors import UNKNOWN_CLIENT, UNREACHABLE, handshake_error, translate
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
_LOOK_S = 0.2
# A request that timed out says nothing; the client's last complaint often names the cause.
_VAGUE = frozenset({KafkaError._TIMED_OUT, KafkaError._TRANSPORT})  # noqa: SLF001 - librdkafka's official names
_CONSEQUENCES = _VAGUE | {KafkaError._ALL_BROKERS_DOWN}  # noqa: SLF001


@dataclass(frozen=True, slots=True)
class _Trying:
    """A request: in words, and as the rights that it takes."""

    doing: str
    access: Access


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicReport:
    """What :meth:`Topics.ensure` did and found."""

    created: tuple[str, ...]
    findings: tuple[TopicFinding, ...]


class Topics:
    """Creates and checks the topics; existing ones are never changed."""

    def __init__(self, settings: KafkaSettings, *, timeout_s: float = 15.0) -> None:
        self._settings = settings
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
        trying = self._trying("describing the topics", self._specs[0].name, "Describe")
        futures = self._ask(trying, lambda: self._admin.describe_topics(names, request_timeout=self._timeout_s))
        found = {}
        for name, future in futures.items():
            trying = self._trying("describing the topics", name, "Describe")
            description = self._answer(trying, future, tolerated=KafkaError.UNKNOWN_TOPIC_OR_PART)
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
        trying = self._trying(f"creating topic {spec.name}", spec.name, "Create")
        futures = self._ask(trying, lambda: self._admin.create_topics([topic], request_timeout=self._timeout_s))
        refused = object()
        answer = self._answer(trying, futures[spec.name], tolerated=KafkaError.TOPIC_ALREADY_EXISTS, instead=refused)
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
        trying = self._trying(f"reading the configuration of topic {topic}", topic, "DescribeConfigs")
        futures = self._ask(trying, lambda: self._admin.describe_configs([resource], request_timeout=self._timeout_s))
        entries = self._answer(trying, futures[resource])
        return {name: str(entry.value) for name, entry in entries.items()}

    def _trying(self, doing: str, topic: str, operation: str) -> _Trying:
        return _Trying(f"{doing} at {self._servers}", Access(self._settings, topic, (operation,)))

    def _ask(self, trying: _Trying, call: Callable[[], Any]) -> dict[Any, Future[Any]]:
        self._complaint = None
        try:
            futures: dict[Any, Future[Any]] = call()
        except KafkaException as error:
            raise self._explain(error.args[0], trying) from None
        return futures

    def _answer(
        self, trying: _Trying, future: Future[Any], *, tolerated: int | None = None, instead: object = None
    ) -> Any:  # noqa: ANN401 - each request has an answer of its own type
        deadline = time.monotonic() + self._timeout_s + 1.0
        while True:
            try:
                return future.result(_LOOK_S)
            except KafkaException as error:
                if error.args[0].code() == tolerated:
                    return instead
                raise self._explain(error.args[0], trying) from None
            except TimeoutError:
                self._admin.poll(0)  # serves the error callback
                self._raise_refusal(trying)
                if time.monotonic() > deadline:
                    raise BrokerUnavailableError(
                        f"{trying.doing}: no answer within {self._timeout_s} s", remedy=UNREACHABLE
                    ) from None

    def _raise_refusal(self, trying: _Trying) -> None:
        """Give up at once where the broker refuses us: the client itself would try until its time is over."""
        complaint = self._complaint
        if complaint is not None and (
            complaint.code() in UNKNOWN_CLIENT or handshake_error(complaint, self._servers) is not None
        ):
            raise self._explain(complaint, trying)

    def _explain(self, error: KafkaError, trying: _Trying) -> IcehaulError:
        cause = self._complaint if error.code() in _VAGUE and self._complaint is not None else error
        return translate(cause, doing=trying.doing, access=trying.access)

    def _complain(self, error: KafkaError) -> None:
        # What comes after the first cause is its consequence: a connection that ended, brokers that count as down.
        if self._complaint is None or self._complaint.code() in _CONSEQUENCES:
            self._complaint = error


def _has_leader(partition: TopicPartitionInfo) -> bool:
    return partition.leader is not None and partition.leader.id >= 0
