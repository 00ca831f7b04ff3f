"""The commands that give a Kafka user the rights it lacks."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import KafkaError

from consumer.settings.connections import KafkaSettings

DENIED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
"""Codes by which the broker refuses a user that it knows."""

INSPECTION_GROUP = ".doctor."
"""What stands between the group's name and a random part in the name of the group that a doctor joins."""


@dataclass(frozen=True, slots=True)
class Access:
    """What was tried: operations, in the words of ``kafka-acls.sh``, on a topic."""

    kafka: KafkaSettings
    topic: str
    operations: tuple[str, ...]

    def grant(self, code: int) -> str:
        """Return the command that gives what the broker refused with this code."""
        if code == KafkaError.GROUP_AUTHORIZATION_FAILED:
            group, inspected, _ = self.kafka.group.partition(INSPECTION_GROUP)
            if inspected:
                return self._command(("Read", "Delete"), f"--resource-pattern-type prefixed --group {group}{inspected}")
            return self._command(("Read",), f"--group {group}")
        given = self._command(self.operations, f"--topic {self.topic}")
        if code == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
            # Who may write to a topic may do so idempotently, but on old brokers.
            given += " (brokers before 3.0 want --operation IdempotentWrite --cluster besides)"
        return given

    def _command(self, operations: tuple[str, ...], resource: str) -> str:
        words = " ".join(f"--operation {operation}" for operation in operations)
        return (
            f"give the right: kafka-acls.sh --bootstrap-server {self.kafka.bootstrap_servers} --add"
            f" --allow-principal User:{user_of(self.kafka)} {words} {resource}"
        )


def user_of(kafka: KafkaSettings) -> str:
    """Return the user that the broker sees, as far as the configuration tells."""
    given = kafka.options.get("sasl.username")
    if given is None and "sasl.username" in kafka.secret_options:
        given = "(kafka.secret_options: sasl.username)"
    return given or "(as the broker's log names it)"
