"""What the guarantees ask of Kafka's clients."""

from __future__ import annotations

from typing import Any

import pytest

from consumer.adapters.kafka import delivery
from consumer.adapters.kafka.client import consumer_config
from consumer.adapters.kafka.producer import KafkaEventSink
from consumer.domain.errors import BrokerUnavailableError
from consumer.domain.event_factory import tick
from consumer.domain.window import BEGINNING
from consumer.settings.connections import ConsumerSettings, KafkaSettings


class DeafProducer:
    """A producer that takes messages, and never hears of them again."""

    configurations: list[dict[str, Any]]

    def __init__(self, configuration: dict[str, Any]) -> None:
        self.configurations.append(configuration)

    def produce(self, _topic: str, **_message: object) -> None:
        """Take a message."""

    def poll(self, _timeout: float) -> None:
        """Hear nothing."""


@pytest.fixture
def configurations(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    DeafProducer.configurations = []
    monkeypatch.setattr(delivery, "Producer", DeafProducer)
    monkeypatch.setattr(delivery, "_CALLBACK_GRACE_S", 0.0)
    return DeafProducer.configurations


def test_events_are_placed_as_java_producers_place_them_and_confirmed_by_all_replicas(
    configurations: list[dict[str, Any]],
) -> None:
    sink = KafkaEventSink(KafkaSettings(), timeout_s=0.0)
    with pytest.raises(BrokerUnavailableError, match="1 of 1 not acknowledged"):
        sink.send([tick(stream="trades", boundary=BEGINNING)])

    (found,) = configurations
    assert (found["partitioner"], found["acks"], found["enable.idempotence"]) == ("murmur2", "all", True)


def test_nothing_but_the_loop_commits_offsets_and_no_offset_is_skipped() -> None:
    found = consumer_config(KafkaSettings(), ConsumerSettings(), on_error=lambda _: None, on_commit=lambda _, __: None)

    assert (found["enable.auto.commit"], found["enable.auto.offset.store"]) == (False, False)
    assert found["auto.offset.reset"] == "error"


def test_what_concerns_group_members_only_is_told_to_no_other_client() -> None:
    kafka = KafkaSettings(options={"session.timeout.ms": "7000", "security.protocol": "SSL"})
    member = consumer_config(kafka, ConsumerSettings(), on_error=lambda _: None, on_commit=lambda _, __: None)

    assert delivery.given_options(kafka) == {"security.protocol": "SSL"}
    assert member["session.timeout.ms"] == "7000"
