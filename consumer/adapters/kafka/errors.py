"""What Kafka's errors mean when something is produced or administered."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from confluent_kafka import KafkaError

from consumer.adapters.kafka.acls import DENIED, Access
from consumer.domain.encryption import KAFKA, untrusted
from consumer.domain.errors import AccessDeniedError, BrokerUnavailableError, ConfigurationError, IcehaulError

UNREACHABLE = (
    "check that kafka.bootstrap_servers and security.protocol in kafka.options are right, and that the brokers run and"
    " have disk space left; it is tried again"
)
"""Remedy for a broker that does not answer."""

CREDENTIALS = (
    "correct sasl.mechanism and sasl.username in kafka.options and sasl.password in kafka.secret_options, or make the"
    " user with kafka-configs.sh"
)
"""Remedy for a user or password that the broker refuses."""

UNKNOWN_CLIENT = frozenset({KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._AUTHENTICATION})  # noqa: SLF001 - librdkafka's local errors have these names
"""Codes by which a broker refuses user and password, or a client has none to show."""

HANDSHAKE = frozenset({KafkaError._SSL, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN})  # noqa: SLF001
"""Codes whose text may tell of a failed handshake."""

_MISSING = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})  # noqa: SLF001
_CREATE = "create the topics: icehaul topics"
_STORAGE = "free space in the brokers' log.dirs, then start those again that have ended; it is tried again"
_PASSING: Mapping[int, str] = MappingProxyType(
    {**dict.fromkeys(_MISSING, _CREATE), KafkaError.KAFKA_STORAGE_ERROR: _STORAGE}
)
_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})
_REFUSED = frozenset(
    {
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_CONFIG,
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_EXCEPTION,
    }
)


def translate(error: KafkaError, *, doing: str, access: Access) -> IcehaulError:
    """Return the error of ours for one of Kafka's; ``doing`` says what was tried, with topic and servers.

    ``access`` says the same in the words of the broker's rights. What has no meaning of its own is a passing error of
    the broker.
    """
    code, message = error.code(), f"{doing}: {error.str()} ({error.name()})"
    if code in DENIED or code in UNKNOWN_CLIENT:
        return AccessDeniedError(message, remedy=access.grant(code) if code in DENIED else CREDENTIALS)
    if distrust := handshake_error(error, access.kafka.bootstrap_servers):
        return distrust
    if code in _TOO_LARGE:
        return ConfigurationError(message, remedy="raise the topic's max.message.bytes")
    if code in _REFUSED:
        return ConfigurationError(
            message, remedy="correct kafka.partitions, kafka.replication_factor, kafka.retention or the topic's name"
        )
    return BrokerUnavailableError(message, remedy=_PASSING.get(code, UNREACHABLE))


def handshake_error(error: KafkaError, servers: str) -> IcehaulError | None:
    """Return the error for a broker that is not trusted, or speaks another protocol; ``None`` for all else."""
    return untrusted(f"Kafka at {servers}", error.str(), KAFKA) if error.code() in HANDSHAKE else None
