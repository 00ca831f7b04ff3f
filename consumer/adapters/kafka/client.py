"""Configuration of a consumer client, and what its errors mean."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from consumer.adapters.kafka.acls import DENIED, Access
from consumer.adapters.kafka.errors import CREDENTIALS, UNKNOWN_CLIENT, handshake_error
from consumer.domain.errors import BrokerUnavailableError, ConfigurationError, IcehaulError
from consumer.settings.connections import ConsumerSettings, KafkaSettings

_OURS = frozenset(
    {
        "auto.offset.reset",
        "bootstrap.servers",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.partition.eof",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "partition.assignment.strategy",
    }
)
"""Options that the guarantees rest on, or that have a field of their own."""

_DEFAULT_MAX_POLL_MS = 300_000
_DUPLICATE_INSTANCE = frozenset({KafkaError.FENCED_INSTANCE_ID, KafkaError.UNRELEASED_INSTANCE_ID})


def consumer_config(
    kafka: KafkaSettings,
    consumer: ConsumerSettings,
    *,
    on_error: Callable[[KafkaError], None],
    on_commit: Callable[[KafkaError | None, list[TopicPartition]], None],
) -> dict[str, Any]:
    """Return librdkafka's configuration of a group member.

    Raises:
        ConfigurationError: if an option would break a guarantee.
    """
    given = {**kafka.options, **{key: value.get_secret_value() for key, value in kafka.secret_options.items()}}
    if forbidden := sorted(_OURS & given.keys()):
        raise ConfigurationError(
            f"kafka.options: {forbidden[0]!r} may not be set there",
            remedy="remove it; the fields of the section kafka set what may be chosen",
        )
    _check_deadlines(given, consumer)
    config: dict[str, Any] = {
        "client.id": f"icehaul-{socket.gethostname()}-{os.getpid()}",
        "isolation.level": "read_committed",
        # Bounds the memory of fetched messages that wait for a worker; a larger one still comes through.
        "queued.max.messages.kbytes": 16_384,
        # A resumed partition waits for the broker's answer about the others: let that be short.
        "fetch.wait.max.ms": 100,
        "fetch.queue.backoff.ms": 100,
        "reconnect.backoff.max.ms": 2_000,
        # How late partitions that were added are read, where the client and not the broker finds them (classic).
        "topic.metadata.refresh.interval.ms": 30_000,
        "log.connection.close": False,
        **given,
        "bootstrap.servers": kafka.bootstrap_servers,
        "group.id": kafka.group,
        "group.protocol": kafka.group_protocol,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # Never jump silently: an offset that can't be used comes up as an error, and is handled as an incident.
        "auto.offset.reset": "error",
        "allow.auto.create.topics": False,
        "error_cb": on_error,
        "on_commit": on_commit,
        "logger": logging.getLogger("confluent_kafka"),
    }
    if kafka.group_protocol == "classic":
        config["partition.assignment.strategy"] = kafka.assignment_strategy
    if kafka.group_instance_id is not None:
        config["group.instance.id"] = kafka.group_instance_id
    return config


def open_consumer(config: Mapping[str, Any]) -> Consumer:
    """Return a client of a configuration; it has not connected yet.

    Raises:
        ConfigurationError: if librdkafka refuses an option.
    """
    try:
        return Consumer(dict(config))
    except KafkaException as error:
        raise ConfigurationError(
            f"kafka.options: the Kafka client refuses its configuration: {error_of(error).str()}",
            remedy="correct the option that the message names",
        ) from error


def _check_deadlines(options: dict[str, str], consumer: ConsumerSettings) -> None:
    text = options.get("max.poll.interval.ms", str(_DEFAULT_MAX_POLL_MS))
    if not text.isdecimal():
        raise ConfigurationError(
            f"kafka.options: max.poll.interval.ms is {text!r}", remedy="give a number of milliseconds"
        )
    if consumer.revoke_deadline_seconds * 1000 >= int(text):
        raise ConfigurationError(
            f"consumer.revoke_deadline_seconds is {consumer.revoke_deadline_seconds}, not below the"
            f" {int(text) / 1000} s after which the group expels a silent member",
            remedy="lower it, or raise kafka.options max.poll.interval.ms",
        )


def error_of(error: KafkaException) -> KafkaError:
    """Return the error that a client's exception carries."""
    found = error.args[0]
    return found if isinstance(found, KafkaError) else KafkaError(KafkaError._FAIL, str(error))  # noqa: SLF001


def is_unreleased(error: KafkaError) -> bool:
    """Tell whether the coordinator still holds the member's identity for another process, which may be dead."""
    return error.code() == KafkaError.UNRELEASED_INSTANCE_ID or (
        error.code() == KafkaError._FATAL and "still used by another member" in error.str()  # noqa: SLF001
    )


def explain_fatal(
    error: KafkaError, kafka: KafkaSettings, *, starting: bool, topic: str | None = None
) -> IcehaulError | None:
    """Return what to raise for an error after which this client can't go on; ``None`` where it can.

    ``topic`` is what was asked for, if not the event topic. Wrong credentials and certificates end the process only
    while it starts: later they may be a broker on its way up.
    """
    code = error.code()
    fatal = error.fatal() or code == KafkaError._FATAL  # noqa: SLF001
    # A fatal error's cause is in its text only.
    if code in _DUPLICATE_INSTANCE or (fatal and "instance" in error.str().lower()):
        return ConfigurationError(
            f"kafka.group_instance_id: {kafka.group_instance_id!r} is in use by another member of the group"
            f" {kafka.group!r} ({error.str()})",
            remedy="give every consumer process an instance id of its own, or none",
        )
    if refusal := _refusal(error, kafka, topic or kafka.topic, starting=starting):
        return refusal
    if code == KafkaError.UNSUPPORTED_VERSION and kafka.group_protocol == "consumer":
        return ConfigurationError(
            f"kafka.group_protocol: the broker at {kafka.bootstrap_servers} does not know 'consumer' ({error.str()})",
            remedy="set kafka.group_protocol to classic, or use Kafka 4.0 or newer",
        )
    if fatal:
        return ConfigurationError(
            f"the Kafka client can't go on: {error.str()}", remedy="the broker's log tells more; start again"
        )
    return None


def _refusal(error: KafkaError, kafka: KafkaSettings, topic: str, *, starting: bool) -> IcehaulError | None:
    """Return the error for a broker that refuses this user, or that this client does not trust."""
    code, message = error.code(), f"Kafka at {kafka.bootstrap_servers} refused access: {error.str()}"
    if code in DENIED:
        operation = "Write" if topic == kafka.dead_letter_topic else "Read"
        return ConfigurationError(message, remedy=Access(kafka, topic, (operation,)).grant(code))
    if not starting:
        return None
    if code in UNKNOWN_CLIENT:
        return ConfigurationError(message, remedy=CREDENTIALS)
    return handshake_error(error, kafka.bootstrap_servers)


def unreachable(kafka: KafkaSettings, why: str) -> BrokerUnavailableError:
    """Return the error of a broker that does not answer."""
    return BrokerUnavailableError(
        f"no Kafka broker answers at kafka.bootstrap_servers {kafka.bootstrap_servers!r} ({why})",
        remedy="start the broker, or correct the address, security.protocol in kafka.options, or the firewall",
    )
