"""Brokers that are killed, hang, or have no disk space left while events are sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from consumer.adapters.kafka.codec import decode_message
from consumer.adapters.kafka.producer import KafkaEventSink
from consumer.adapters.kafka.topics import Topics
from consumer.domain.errors import BrokerUnavailableError
from consumer.domain.event import Event
from consumer.domain.event_factory import tick
from consumer.embedded.component import ComponentName
from consumer.embedded.stack import EmbeddedStack
from tests.support.kafka_topics import kafka_settings, read_topic
from tests.support.small_disk import SmallDisk, small_disk_if_permitted
from tests.support.waiting import wait_until

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk | str]:
    """The disk of the broker; where none may be mounted, the reason."""
    with small_disk_if_permitted(tmp_path_factory.mktemp("broker") / "stack", mib=96) as made:
        yield made


@pytest.fixture(scope="module")
def broker(disk: SmallDisk | str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    directory = tmp_path_factory.mktemp("broker") if isinstance(disk, str) else disk.path / "stack"
    with EmbeddedStack.start(directory, only=[ComponentName.KAFKA]) as stack:
        yield stack


def test_what_was_confirmed_outlives_the_broker_s_death_and_the_sink_goes_on(
    broker: EmbeddedStack, unique_name: str
) -> None:
    settings = kafka_settings(broker, unique_name)
    Topics(settings).ensure()
    sink = KafkaEventSink(settings, timeout_s=60)
    confirmed: list[str] = []
    stop = threading.Event()

    def send() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            event = tick(stream="trades", boundary=NOON + timedelta(minutes=number))
            sink.send([event])
            confirmed.append(event.id)

    thread = threading.Thread(target=send)
    thread.start()
    wait_until(lambda: len(confirmed) > 20, what="the first confirmations")
    broker.kill_component(ComponentName.KAFKA)
    before = len(confirmed)
    broker.start_component(ComponentName.KAFKA)
    wait_until(lambda: len(confirmed) > before + 20, seconds=60, what="confirmations after the restart")
    stop.set()
    thread.join(60)
    sink.close()
    assert not thread.is_alive()
    there = [decode_message(message).id for message in read_topic(settings, settings.topic)]
    assert there == confirmed


@pytest.mark.thorough
def test_a_broker_that_hangs_is_an_error_by_the_deadline_and_later_sends_work_again(
    broker: EmbeddedStack, unique_name: str
) -> None:
    settings = kafka_settings(broker, unique_name)
    Topics(settings).ensure()
    sink = KafkaEventSink(settings, timeout_s=2)
    first, second = (tick(stream="trades", boundary=NOON + timedelta(minutes=number)) for number in (0, 1))
    sink.send([first])
    broker.pause_component(ComponentName.KAFKA)
    try:
        started = time.monotonic()
        with pytest.raises(BrokerUnavailableError, match="1 of 1 not acknowledged"):
            sink.send([second])
        assert time.monotonic() - started < 60, "that was librdkafka's own limit of five minutes"
    finally:
        broker.resume_component(ComponentName.KAFKA)
    wait_until(lambda: _sent(sink, second), what="a confirmation after the pause")
    sink.close()
    there = [decode_message(message).id for message in read_topic(settings, settings.topic)]
    assert there[0] == first.id
    assert set(there[1:]) == {second.id}


@pytest.mark.thorough
def test_a_broker_whose_disk_is_full_is_an_error_that_says_so_and_gets_everything_once_there_is_space(
    broker: EmbeddedStack, disk: SmallDisk | str, unique_name: str
) -> None:
    if isinstance(disk, str):
        pytest.skip(disk)
    settings = kafka_settings(broker, unique_name)
    Topics(settings).ensure()
    sink = KafkaEventSink(settings, timeout_s=2)
    first, *lost = [tick(stream="trades", boundary=NOON + timedelta(minutes=number)) for number in range(4)]
    sink.send([first])
    disk.fill()
    try:
        # Kafka ends itself when it can't write its log; until then it may have room in a page that it has begun.
        wait_until(lambda: not _sent(sink, lost[0]), seconds=60, what="the broker to have no space left")
        with pytest.raises(BrokerUnavailableError) as raised:
            sink.send(lost[1:])
        assert settings.topic in raised.value.message
        assert "disk space" in raised.value.remedy
    finally:
        disk.free()
    broker.kill_component(ComponentName.KAFKA)
    broker.start_component(ComponentName.KAFKA)
    for event in lost:
        wait_until(lambda event=event: _sent(sink, event), seconds=60, what="a confirmation")  # type: ignore[misc]
    sink.close()
    there = [decode_message(message).id for message in read_topic(settings, settings.topic)]
    assert there[0] == first.id
    assert set(there) == {event.id for event in (first, *lost)}


def _sent(sink: KafkaEventSink, event: Event) -> bool:
    try:
        sink.send([event])
    except BrokerUnavailableError:
        return False
    return True
