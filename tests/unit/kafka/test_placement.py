"""Events of one stream belong on one partition: a producer that puts them elsewhere is told of, and still served."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import murmur2
from structlog.testing import capture_logs

from consumer.adapters.kafka.codec import encode
from consumer.adapters.kafka.placement import PlacedEvents
from consumer.domain.errors import BrokerUnavailableError
from tests.fuzz.messages import Sent
from tests.support.events import TICK

RIGHT = murmur2(b"trades", 12)


def sent(partition: int) -> Sent:
    message = encode(TICK)
    return Sent(
        raw_key=message.key, raw_value=message.value, raw_headers=message.headers, place=("events", partition, 7)
    )


def told(count: Callable[[], int], *partitions: int) -> list[str]:
    """What is said about events of one stream on these partitions; each of them is decoded."""
    placed = PlacedEvents(count)
    with capture_logs() as said:
        assert {placed.decode(sent(partition)).stream for partition in partitions} == {"trades"}
    return [entry["event"] for entry in said]


def test_an_event_where_murmur2_puts_it_is_not_worth_a_word() -> None:
    assert told(lambda: 12, RIGHT, RIGHT) == []


def test_a_stream_on_another_partition_is_told_of_once() -> None:
    assert told(lambda: 12, (RIGHT + 1) % 12, RIGHT, (RIGHT + 1) % 12) == ["event.on_wrong_partition"]


def test_where_nobody_knows_the_number_of_partitions_events_are_handled_as_they_come() -> None:
    def count() -> int:
        raise BrokerUnavailableError("no answer", remedy="wait")

    # It is not asked again at each message: that would hold the poll loop while the broker is away.
    assert told(count, RIGHT, 0, 1) == ["event.partitions_unknown"]
