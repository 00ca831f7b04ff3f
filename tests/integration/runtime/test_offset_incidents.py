"""Offsets that do not say where to go on: what the group is told, and that nothing is skipped without a word."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException

from consumer.domain.event import Event
from consumer.service.threads import Signal
from consumer.settings.connections import ConsumerSettings
from tests.support.kafka_group import PROTOCOLS, Handled, Member, Topic, running, with_settings
from tests.support.waiting import wait_until

PATIENCE_S = 90.0


def consume(topic: Topic, until: int, protocol: dict[str, str] | None = None) -> None:
    """Let a member acknowledge everything up to an offset, and leave."""
    member = Member(with_settings(topic, protocol or {}), Handled())
    with running(member):
        wait_until(lambda: topic.committed() == until, seconds=PATIENCE_S)
        member.stop()


def incidents(member: Member) -> dict[str, int]:
    """How often each kind of incident was counted."""
    prefix = "offset_incident "
    return {name.removeprefix(prefix): n for name, n in member.metrics.counts.items() if name.startswith(prefix)}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_committed_offset_whose_events_were_deleted_goes_on_at_what_is_left_and_reconciles(
    topic: Topic, protocol: dict[str, str]
) -> None:
    topic.send("a 1")
    consume(topic, 1, protocol)
    topic.send("b 1", "c 1", "d 1")
    topic.delete_before(3)
    handled = Handled()
    member = Member(with_settings(topic, protocol), handled, streams=["a", "b"])
    with running(member):
        wait_until(lambda: topic.committed() == 4, seconds=PATIENCE_S)
    assert handled.offsets == [3]
    assert sorted(handled.reconciled) == ["a", "b"]
    assert incidents(member) == {"retention": 1}


def test_a_committed_offset_beyond_the_end_goes_on_at_the_beginning_and_reconciles(topic: Topic) -> None:
    topic.send("c 1", "d 1")  # of streams that are not reconciled: those of one stream may be run as one
    topic.reset(100)
    handled = Handled()
    member = Member(topic.settings, handled, streams=["a", "b"])
    with running(member):
        wait_until(lambda: topic.committed() == 2, seconds=PATIENCE_S)
    assert sorted(handled.offsets) == [0, 1]
    assert sorted(handled.reconciled) == ["a", "b"]
    assert incidents(member) == {"beyond_end": 1}


def test_nothing_of_a_partition_is_committed_before_its_streams_are_reconciled(topic: Topic) -> None:
    gate = threading.Event()

    def act(event: Event, _abandon: Signal) -> None:
        if event.coordinates is None:
            gate.wait(PATIENCE_S)

    topic.send("a 1", "b 1")
    topic.reset(100)
    killed = Handled(act)
    member = Member(topic.settings, killed, streams=["c"])
    with running(member):
        wait_until(lambda: len(killed.offsets) == 2 and len(killed.started) == 3, seconds=PATIENCE_S)
        assert topic.committed() == 100
    gate.set()
    heir = Member(topic.settings, Handled(), streams=["c"])
    with running(heir):
        wait_until(lambda: topic.committed() == 2, seconds=PATIENCE_S)
    assert incidents(heir) == {"beyond_end": 1}, "the heir finds the same, and does it again"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_topic_that_is_made_anew_under_a_running_member_is_read_from_its_beginning(
    topic: Topic, protocol: dict[str, str]
) -> None:
    handled = Handled()
    topic.send("a 1", "a 2")
    member = Member(with_settings(topic, protocol), handled, streams=["a", "b"])
    with running(member):
        wait_until(lambda: topic.committed() == 2, seconds=PATIENCE_S)
        topic.recreate()
        # More than the old one had: a member that only keeps its position would begin in the middle.
        topic.send("n0 1", "n1 1", "n2 1", "n3 1", "n4 1")
        sent = {f"n{number}" for number in range(5)}
        wait_until(lambda: sent <= {event.stream for event in handled.done}, seconds=PATIENCE_S, what="every event")
        wait_until(lambda: sorted(set(handled.reconciled)) == ["a", "b"], seconds=PATIENCE_S)
        wait_until(lambda: topic.committed() == 5, seconds=PATIENCE_S)
        assert member.error is None
    assert set(incidents(member)) == {"topic_recreated"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_topic_that_is_made_anew_while_its_partition_is_paused_is_read_from_its_beginning(
    topic: Topic, protocol: dict[str, str]
) -> None:
    gate = threading.Event()

    def act(event: Event, _abandon: Signal) -> None:
        if event.stream == "slow":
            gate.wait(PATIENCE_S)

    handled = Handled(act)
    topic.send("slow 1")
    consumer = ConsumerSettings(events_per_partition=1, revoke_deadline_seconds=1)
    member = Member(with_settings(topic, protocol), handled, consumer)
    with running(member):
        wait_until(lambda: handled.started, seconds=PATIENCE_S)
        topic.recreate()
        topic.send("n 1")
        wait_until(lambda: topic.committed() == 1, seconds=PATIENCE_S, what="the new topic's event to be done")
        gate.set()
    assert "n" in {event.stream for event in handled.done}


def test_an_offset_that_was_committed_for_a_topic_that_is_gone_is_told_by_the_topics_id(topic: Topic) -> None:
    topic.send("a 1", "a 2")
    consume(topic, 2)
    before = topic.place()
    topic.recreate()
    topic.send("b 1", "c 1", "d 1")
    topic.restore(before)  # as by a broker's backup, or a mirror
    handled = Handled()
    member = Member(topic.settings, handled, streams=["a"])
    with running(member):
        wait_until(lambda: topic.committed() == 3 and handled.reconciled, seconds=PATIENCE_S)
    assert sorted(handled.offsets) == [0, 1, 2]
    assert incidents(member) == {"topic_recreated": 1}


def test_a_topic_that_was_made_anew_while_nobody_ran_is_known_by_what_the_ledger_remembers(topic: Topic) -> None:
    topic.send("a 1", "a 2")
    consume(topic, 2)
    topic.recreate()
    topic.send("b 1")
    handled = Handled()
    member = Member(topic.settings, handled, memory=lambda _partition: 1, streams=["a"])
    with running(member):
        wait_until(lambda: topic.committed() == 1 and handled.reconciled, seconds=PATIENCE_S)
    assert handled.offsets == [0]
    assert incidents(member) == {"topic_recreated": 1}


def test_a_group_that_was_deleted_while_nobody_ran_reads_everything_again_and_reconciles(topic: Topic) -> None:
    topic.send("a 1", "b 1")
    consume(topic, 2)
    topic.delete_group()
    assert topic.committed() < 0
    handled = Handled()
    member = Member(topic.settings, handled, memory=lambda _partition: 1, streams=["c"])
    with running(member):
        wait_until(lambda: topic.committed() == 2, seconds=PATIENCE_S)
    assert sorted(handled.offsets) == [0, 1]
    assert handled.reconciled == ["c"]
    assert incidents(member) == {"offsets_lost": 1}


def test_a_group_can_not_be_deleted_under_a_running_member_which_goes_on(topic: Topic) -> None:
    handled = Handled()
    topic.send("a 1")
    member = Member(topic.settings, handled)
    with running(member):
        wait_until(lambda: topic.committed() == 1, seconds=PATIENCE_S)
        with pytest.raises(KafkaException) as refused:
            topic.delete_group()
        assert refused.value.args[0].code() == KafkaError.NON_EMPTY_GROUP
        topic.send("a 2")
        wait_until(lambda: topic.committed() == 2, seconds=PATIENCE_S)
    assert incidents(member) == {}


def test_events_that_somebody_skips_by_a_reset_are_made_up_for_by_reconciling(topic: Topic) -> None:
    topic.send("a 1")
    consume(topic, 1)
    topic.send("b 1", "c 1")
    topic.reset(2)
    handled = Handled()
    member = Member(topic.settings, handled, streams=["b"])
    with running(member):
        wait_until(lambda: topic.committed() == 3, seconds=PATIENCE_S)
    assert handled.offsets == [2]
    assert handled.reconciled == ["b"]
    assert incidents(member) == {"moved": 1}


def test_events_that_are_deleted_before_a_busy_member_reads_them_are_an_incident(topic: Topic) -> None:
    gate = threading.Event()

    def act(event: Event, _abandon: Signal) -> None:
        if event.coordinates is not None and event.coordinates.offset == 0:
            gate.wait(PATIENCE_S)

    handled = Handled(act)
    topic.send("slow 1")
    consumer = ConsumerSettings(events_per_partition=1)  # paused while the first event is worked on
    member = Member(topic.settings, handled, consumer, streams=["lost"])
    with running(member):
        wait_until(lambda: handled.started, seconds=PATIENCE_S)
        topic.send(*(f"lost {number}" for number in range(1, 9)))
        topic.delete_before(8)
        gate.set()
        wait_until(lambda: topic.committed() == 9 and "lost" in handled.reconciled, seconds=PATIENCE_S)
    assert incidents(member) == {"retention": 1}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_partitions_that_are_added_under_running_members_are_read_from_their_beginning(
    make_topic: Callable[[int], Topic], protocol: dict[str, str]
) -> None:
    topic = make_topic(1)
    kafka = with_settings(topic, protocol, options={"topic.metadata.refresh.interval.ms": "500"})
    one, two = Handled(), Handled()
    topic.send("a 1")
    members = [Member(kafka, one), Member(kafka, two)]
    with running(*members):
        wait_until(lambda: topic.committed() == 1, seconds=PATIENCE_S)
        topic.grow(4)
        for partition in range(4):
            topic.send(f"s{partition} 1", partition=partition)
        wait_until(lambda: [topic.committed(n) for n in range(4)] == [2, 1, 1, 1], seconds=PATIENCE_S)
        wait_until(lambda: all(len(member.loop.partitions) == 2 for member in members), seconds=PATIENCE_S)
    done = [event.stream for event in one.done + two.done]
    assert sorted(done) == ["a", "s0", "s1", "s2", "s3"]
    assert all(incidents(member) == {} for member in members)
