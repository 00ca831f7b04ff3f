"""Members come, go and hang; nobody commits what is no longer theirs, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from consumer.domain.errors import ConfigurationError, FencedError
from consumer.domain.event import Event
from consumer.service.threads import Signal
from consumer.settings.connections import ConsumerSettings
from tests.support.kafka_group import Handled, Member, Topic, running, with_settings
from tests.support.waiting import wait_until

COOPERATIVE = [
    pytest.param({"group_protocol": "consumer"}, id="consumer"),
    pytest.param({"group_protocol": "classic", "assignment_strategy": "cooperative-sticky"}, id="cooperative-sticky"),
]
ALL = [
    *COOPERATIVE,
    pytest.param({"group_protocol": "classic", "assignment_strategy": "range"}, id="range", marks=pytest.mark.thorough),
]
STRANGER = """
import sys
from confluent_kafka import Consumer
servers, topic, group = sys.argv[1:]
names = {"group.id": group, "group.instance.id": "one", "group.protocol": "consumer"}
member = Consumer({"bootstrap.servers": servers} | names)
member.subscribe([topic])
while True:
    member.poll(1)
"""
"""A static member of a process of its own, to be killed."""
CLASSIC_SESSION = {"session.timeout.ms": "3000", "heartbeat.interval.ms": "500"}


def session(protocol: dict[str, str], **more: str) -> dict[str, str]:
    """Short session time-outs, where the client and not the broker sets them."""
    return (CLASSIC_SESSION if protocol["group_protocol"] == "classic" else {}) | more


@pytest.mark.parametrize("protocol", ALL)
def test_a_handler_longer_than_the_poll_interval_causes_no_rebalance(topic: Topic, protocol: dict[str, str]) -> None:
    gate = threading.Event()
    options = session(protocol) | {"max.poll.interval.ms": "3000"}
    kafka = with_settings(topic, protocol, options=options)
    handled = Handled(lambda _event, _abandon: (gate.wait(30), None)[1])
    topic.send("slow 1")
    member = Member(kafka, handled, ConsumerSettings(revoke_deadline_seconds=1))
    with running(member):
        wait_until(lambda: handled.started)
        threading.Event().wait(7)  # the point is that time passes: more than twice the interval
        gate.set()
        wait_until(lambda: topic.committed() == 1)
        assert member.metrics.counts["rebalance assigned"] == 1
        assert member.metrics.counts["rebalance lost"] == 0
    assert len(handled.started) == 1


@pytest.mark.parametrize("protocol", ALL)
def test_work_that_runs_when_a_second_member_joins_is_finished_and_acknowledged_once(
    make_topic: Callable[[int], Topic], protocol: dict[str, str]
) -> None:
    topic = make_topic(4)
    kafka = with_settings(topic, protocol, options=session(protocol))
    gate = threading.Event()
    first = Handled(lambda _event, _abandon: (gate.wait(30), None)[1])
    second = Handled()
    for partition in range(4):
        topic.send(f"s{partition} 1", partition=partition)
    one, two = Member(kafka, first), Member(kafka, second)
    with running(one):
        wait_until(lambda: len(first.started) == 4)
        with running(two):
            # The group now asks the first member for partitions, whose work is still running.
            wait_until(lambda: one.metrics.counts["rebalance revoked"] == 1)
            assert not second.started
            gate.set()
            two.owns(2)
            one.owns(2)
            wait_until(lambda: all(topic.committed(partition) == 1 for partition in range(4)))
            for partition in range(4):
                topic.send(f"s{partition} 2", partition=partition)
            wait_until(lambda: len(first.done) + len(second.done) == 8)
            assert len(second.done) == 2
            one.stop()
            two.stop()


def test_work_that_does_not_end_within_the_revoke_deadline_is_abandoned_and_done_by_the_other_member(
    make_topic: Callable[[int], Topic],
) -> None:
    topic = make_topic(2)
    abandoned: list[str] = []

    def hang(event: Event, abandon: Signal) -> None:
        if event.stream.startswith("quick"):
            return
        abandon.wait(60)
        abandoned.append(event.stream)
        raise FencedError("given up", remedy="none")

    first, second = Handled(hang), Handled()
    for partition in range(2):
        topic.send(f"quick{partition} 1", f"slow{partition} 1", partition=partition)
    one = Member(topic.settings, first, ConsumerSettings(revoke_deadline_seconds=1))
    two = Member(topic.settings, second)
    with running(one):
        wait_until(lambda: len(first.started) == 4)
        with running(two):
            two.owns(1)
            wait_until(lambda: len(second.done) == 1)
            assert len(abandoned) == 1
            assert second.done[0].stream == abandoned[0]
            assert second.offsets == [1]
            one.owns(1)
    assert len(first.done) == 2


def test_partitions_of_a_member_that_hangs_go_to_another_and_the_loser_commits_nothing(topic: Topic) -> None:
    protocol = {"group_protocol": "classic", "assignment_strategy": "cooperative-sticky"}
    kafka = with_settings(topic, protocol, options=session(protocol) | {"max.poll.interval.ms": "3000"})
    frozen, thawed = threading.Event(), threading.Event()
    loser, winner = Handled(), Handled()
    one = Member(kafka, loser, ConsumerSettings(revoke_deadline_seconds=1))
    beat = one.metrics.heartbeat

    def freeze() -> None:
        beat()
        if loser.started and not thawed.is_set():
            frozen.set()
            thawed.wait(60)

    gate = threading.Event()
    loser._act = lambda _event, _abandon: (gate.wait(60), None)[1]
    one.metrics.heartbeat = freeze  # type: ignore[method-assign]
    topic.send("a 1")
    two = Member(kafka, winner, ConsumerSettings(revoke_deadline_seconds=1))
    with running(one):
        assert frozen.wait(30)
        gate.set()
        wait_until(lambda: loser.done)
        with running(two):
            wait_until(lambda: topic.committed() == 1)
            topic.send("a 2")
            wait_until(lambda: topic.committed() == 2)
            thawed.set()
            wait_until(lambda: one.metrics.counts["rebalance lost"] == 1)
            assert topic.committed() == 2
    assert winner.offsets == [0, 1]


@pytest.mark.parametrize("protocol", COOPERATIVE)
def test_a_static_member_that_restarts_gets_its_partitions_back(
    make_topic: Callable[[int], Topic], protocol: dict[str, str]
) -> None:
    topic = make_topic(2)
    settings = protocol | {"group_instance_id": "one"}
    kafka = with_settings(topic, settings)
    other_kafka = with_settings(topic, protocol | {"group_instance_id": "two"}, options=kafka.options)
    one, other = Member(kafka, Handled()), Member(other_kafka, Handled())
    with running(one, other):
        one.owns(1)
        other.owns(1)
        mine = one.loop.partitions
        before = other.metrics.counts["rebalance assigned"]
        one.stop()
        again = Member(kafka, Handled())
        with running(again):
            again.owns(1)
            assert again.loop.partitions == mine
            assert other.metrics.counts["rebalance assigned"] == before, "nothing moved to the other member"


@pytest.mark.thorough
@pytest.mark.parametrize("protocol", COOPERATIVE)
def test_a_duplicate_instance_id_is_a_clear_error(topic: Topic, protocol: dict[str, str]) -> None:
    kafka = with_settings(topic, protocol | {"group_instance_id": "twin"})
    one, two = (Member(kafka, Handled(), identity_seconds=2) for _ in range(2))
    with running(one):
        one.owns(1)
        with running(two):
            wait_until(lambda: one.error or two.error)
            error = one.error or two.error
            assert isinstance(error, ConfigurationError)
            assert "'twin' is in use by another member" in str(error)
            assert "an instance id of its own" in error.remedy
            # Exactly one of them stays, and it works.
            topic.send("a 1")
            wait_until(lambda: topic.committed() == 1)
            assert (one.error is None) != (two.error is None)


@pytest.mark.thorough
def test_a_static_member_that_is_killed_is_followed_by_the_next_process_of_its_identity(topic: Topic) -> None:
    kafka = with_settings(topic, {"group_instance_id": "one"})
    place = (kafka.bootstrap_servers, kafka.topic, kafka.group)
    killed = subprocess.Popen([sys.executable, "-c", STRANGER, *place])
    try:
        wait_until(lambda: topic.owners() == {"one": 1}, what="the first process to own the partition")
    finally:
        killed.kill()
        killed.wait()
    handled = Handled()
    topic.send("a 1")
    heir = Member(kafka, handled)
    with running(heir):
        # With KIP-848, the broker refuses it until it has given up the one that could not say good-bye.
        wait_until(lambda: topic.committed() == 1, seconds=60)
        assert heir.error is None


def test_hundreds_of_events_over_a_small_limit_all_arrive_while_partitions_pause_and_resume(
    make_topic: Callable[[int], Topic],
) -> None:
    topic = make_topic(2)
    handled = Handled()
    for partition in range(2):
        topic.send(*(f"s{number % 7} {number}" for number in range(100)), partition=partition)
    member = Member(topic.settings, handled, ConsumerSettings(events_per_partition=5))
    with running(member):
        wait_until(lambda: topic.committed(0) == 100 and topic.committed(1) == 100, seconds=60)
    assert member.metrics.counts[f"polled {topic.settings.topic}"] == 200


@pytest.mark.thorough
@pytest.mark.parametrize("protocol", ALL)
def test_a_partition_that_was_paused_when_it_was_given_away_is_read_once_it_comes_back(
    make_topic: Callable[[int], Topic], protocol: dict[str, str]
) -> None:
    topic = make_topic(2)
    kafka = with_settings(topic, protocol, options=session(protocol))
    gate = threading.Event()
    handled = Handled(lambda event, _abandon: (event.stream.startswith("slow") and gate.wait(60), None)[1])
    for partition in range(2):
        topic.send(f"slow{partition} 1", partition=partition)
    one = Member(kafka, handled, ConsumerSettings(events_per_partition=1, revoke_deadline_seconds=1, workers=4))
    two = Member(kafka, Handled())
    with running(one):
        wait_until(lambda: len(handled.started) == 2, what="work on both partitions, which pauses them")
        with running(two):
            wait_until(lambda: len(two.loop.partitions) == 1, seconds=60, what="one partition to be given away")
            gate.set()
            two.stop()
        one.owns(2, seconds=60)
        for partition in range(2):
            topic.send("next 1", partition=partition)
        wait_until(lambda: [topic.committed(partition) for partition in range(2)] == [2, 2], seconds=60)


def test_settings_that_would_break_a_guarantee_are_refused(topic: Topic) -> None:
    for options in ({"enable.auto.commit": "true"}, {"max.poll.interval.ms": "soon"}, {"no.such.option": "1"}):
        kafka = with_settings(topic, {}, options=options)
        with pytest.raises(ConfigurationError, match=r"kafka\.options"):
            Member(kafka, Handled())
    with pytest.raises(ConfigurationError, match="revoke_deadline_seconds"):
        Member(
            with_settings(topic, {}, options={"max.poll.interval.ms": "15000"}),
            Handled(),
            ConsumerSettings(revoke_deadline_seconds=20),
        )
