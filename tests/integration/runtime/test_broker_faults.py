"""Brokers that are missing, die or forget; offsets that are gone; groups that are reset."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from consumer.domain.errors import BrokerUnavailableError, ConfigurationError
from consumer.domain.event_factory import tick
from consumer.embedded.component import ComponentName
from consumer.embedded.stack import EmbeddedStack
from consumer.settings.connections import ConsumerSettings, KafkaSettings
from tests.support.consuming import committed_offsets, consuming
from tests.support.interruptions import Interrupt
from tests.support.kafka_group import PROTOCOLS, Handled, Member, Topic, running, with_settings
from tests.support.local_platform import judge, ledger_database, local_platform, published
from tests.support.platform import day
from tests.support.waiting import wait_until

AWAY = PROTOCOLS[:2]
"""For tests that wait for a broker to come back, or for time-outs."""


def test_an_unreachable_broker_is_an_error_with_a_remedy_within_bounded_time() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        member = Member(KafkaSettings(bootstrap_servers=address), Handled(), start_seconds=2)
        started = time.monotonic()
        with running(member):
            wait_until(lambda: member.error, seconds=60)
        assert time.monotonic() - started < 12
    assert isinstance(member.error, BrokerUnavailableError)
    assert address in str(member.error)
    assert "start the broker" in member.error.remedy


def test_a_host_name_that_does_not_resolve_is_the_same_error() -> None:
    member = Member(KafkaSettings(bootstrap_servers="no-such-host.invalid:9092"), Handled(), start_seconds=2)
    with running(member):
        wait_until(lambda: member.error, seconds=60)
    assert isinstance(member.error, BrokerUnavailableError)


@pytest.mark.parametrize("missing", ["topic", "dead_letter_topic"])
def test_a_missing_topic_is_an_error_that_names_the_command_that_creates_it(topic: Topic, missing: str) -> None:
    member = Member(with_settings(topic, {missing: "nobody-made-this"}), Handled())
    with running(member):
        wait_until(lambda: member.error, seconds=60)
    assert isinstance(member.error, ConfigurationError)
    assert "'nobody-made-this' does not exist" in str(member.error)
    assert "icehaul topics" in member.error.remedy


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_replay_by_offset_reset_delivers_everything_again(topic: Topic, protocol: dict[str, str]) -> None:
    kafka = with_settings(topic, protocol)
    first, replay = Handled(), Handled()
    topic.send("a 1", "b 1", "c 1")
    member = Member(kafka, first)
    with running(member):
        wait_until(lambda: topic.committed() == 3)
        member.stop()
    topic.reset(0)
    with running(Member(kafka, replay)):
        wait_until(lambda: topic.committed() == 3)
    assert sorted(replay.offsets) == sorted(first.offsets) == [0, 1, 2]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_jump_of_one_partition_leaves_the_work_on_the_others_alone(
    make_topic: Callable[[int], Topic], protocol: dict[str, str]
) -> None:
    topic = make_topic(2)
    gate = threading.Event()
    handled = Handled(lambda event, _: (gate.wait(30), None)[1] if event.stream == "slow" else None)
    topic.send("slow 1", "slow 2", partition=1)
    topic.send("a 1", "a 2", "a 3", "a 4")
    topic.delete_before(3)
    topic.reset(1)
    consumer = ConsumerSettings(events_per_partition=1)  # the slow partition is paused in the middle
    member = Member(with_settings(topic, protocol), handled, consumer)
    with running(member):
        wait_until(lambda: topic.committed(0) == 4)
        wait_until(lambda: handled.started)
        topic.send("b 1")
        wait_until(lambda: topic.committed(0) == 5)
        assert topic.committed(1) < 0
        assert member.metrics.counts["offset_incident retention"] == 1
        gate.set()
        wait_until(lambda: topic.committed(1) == 2)
    assert [event.stream for event in handled.done].count("slow") == 2


@pytest.mark.thorough
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_broker_that_dies_and_comes_back_is_waited_for(
    broker: EmbeddedStack, make_topic: Callable[[int], Topic], protocol: dict[str, str]
) -> None:
    topic = make_topic(1)
    handled = Handled()
    topic.send("a 1")
    member = Member(with_settings(topic, protocol), handled)
    with running(member):
        wait_until(lambda: topic.committed() == 1)
        broker.kill_component(ComponentName.KAFKA)
        wait_until(lambda: any(name.startswith("broker_error") for name in member.metrics.counts))
        broker.start_component(ComponentName.KAFKA)
        topic.send("b 1")
        wait_until(lambda: topic.committed() == 2, seconds=60)
        assert member.error is None
    assert handled.offsets[-1] == 1


@pytest.mark.thorough
@pytest.mark.parametrize("protocol", AWAY)
def test_while_the_broker_is_away_the_loop_turns_and_what_is_done_is_acknowledged_afterwards(
    broker: EmbeddedStack, topic: Topic, protocol: dict[str, str]
) -> None:
    gate = threading.Event()
    handled = Handled(lambda _event, _abandon: (gate.wait(60), None)[1])
    topic.send("a 1")
    member = Member(with_settings(topic, protocol), handled)
    with running(member):
        wait_until(lambda: handled.started)
        broker.kill_component(ComponentName.KAFKA)
        gate.set()
        wait_until(lambda: handled.done)
        turns = member.metrics.counts["heartbeat"]
        wait_until(lambda: member.metrics.counts["heartbeat"] > turns + 100)
        broker.start_component(ComponentName.KAFKA)
        wait_until(lambda: topic.committed() == 1, seconds=90)
        assert member.error is None


@pytest.mark.parametrize("protocol", AWAY)
def test_a_consumer_can_end_while_the_broker_is_away(
    broker: EmbeddedStack, topic: Topic, protocol: dict[str, str]
) -> None:
    gate = threading.Event()
    handled = Handled(lambda _event, _abandon: (gate.wait(60), None)[1])
    topic.send("a 1")
    member = Member(with_settings(topic, protocol), handled)
    with running(member):
        wait_until(lambda: handled.started)
        broker.kill_component(ComponentName.KAFKA)
        try:
            gate.set()
            started = time.monotonic()
            member.stop(seconds=30)
            assert time.monotonic() - started < 15
        finally:
            broker.start_component(ComponentName.KAFKA)


def test_a_broker_that_is_killed_in_mid_batch_and_comes_back_costs_no_second_batch(
    broker: EmbeddedStack, stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoints = stack.endpoints.model_copy(update={"kafka": broker.endpoints.kafka})
    with (
        ledger_database(endpoints, unique_name) as dsn,
        local_platform(endpoints, unique_name, dsn, tmp_path, monkeypatch) as platform,
    ):
        stream = platform.add_stream()
        platform.insert(100)
        killing = Interrupt("batch.after-write", lambda: broker.kill_component(ComponentName.KAFKA))
        with platform.consumer(failpoints=killing) as consumer:
            consumer.topics.ensure()
            consumer.event_sink.send([tick(stream=stream, boundary=day("2024-01-02"))])
            with consuming(consumer):
                wait_until(lambda: published(consumer, stream), seconds=90, what="the batch, with the broker away")
                broker.start_component(ComponentName.KAFKA)
                consumer.event_sink.send([tick(stream=stream, boundary=day("2024-01-03"))])
                kafka = consumer.configuration.kafka
                wait_until(lambda: sum(committed_offsets(kafka).values()) == 2, seconds=90, what="both offsets")
            (batch,) = published(consumer, stream)
            assert batch.attempts == 1
            judge(consumer, stream, rows=100)
