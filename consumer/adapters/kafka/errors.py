"""What Kafka's errors mean when something is produced or administered."""

from __future__ import annotations

from confluent_kafka import KafkaError

from consumer.domain.errors import AccessDeniedError, BrokerUnavailableError, ConfigurationError, IcehaulError

UNREACHABLE = (
    "check that kafka.bootstrap_servers is right, and that the brokers run and have disk space left; it is tried again"
)
"""Remedy for a broker that does not answer."""

_CREDENTIALS = "check kafka.options and kafka.secret_options (security.protocol, sasl.*, ssl.*)"
_STORAGE = "free space in the brokers' log.dirs, then start those again that have ended; it is tried again"
_DENIED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "grant this user WRITE, DESCRIBE and CREATE on the topic",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "grant this user IDEMPOTENT_WRITE on the cluster",
    KafkaError.SASL_AUTHENTICATION_FAILED: _CREDENTIALS,
    KafkaError._AUTHENTICATION: _CREDENTIALS,  # noqa: SLF001 - librdkafka's local errors have these names
    KafkaError._SSL: _CREDENTIALS,  # noqa: SLF001
}
_MISSING = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})  # noqa: SLF001
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


def translate(error: KafkaError, *, doing: str) -> IcehaulError:
    """Return the error of ours for one of Kafka's; ``doing`` says what was tried, with topic and servers.

    What has no meaning of its own is a passing error of the broker.
    """
    code, message = error.code(), f"{doing}: {error.str()} ({error.name()})"
    if code in _DENIED:
        return AccessDeniedError(message, remedy=_DENIED[code])
    if code in _TOO_LARGE:
        return ConfigurationError(message, remedy="raise the topic's max.message.bytes")
    if code in _REFUSED:
        return ConfigurationError(
            message, remedy="correct kafka.partitions, kafka.replication_factor, kafka.retention or the topic's name"
        )
    if code in _MISSING:
        return BrokerUnavailableError(message, remedy="create the topics: icehaul topics")
    if code == KafkaError.KAFKA_STORAGE_ERROR:
        return BrokerUnavailableError(message, remedy=_STORAGE)
    return BrokerUnavailableError(message, remedy=UNREACHABLE)
