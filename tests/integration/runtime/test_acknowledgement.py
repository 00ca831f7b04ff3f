"""An offset is committed only after its event is done, and always then."""

from __future__ import annotations

import threading

import pytest

from consumer.domain.errors import BrokerUnavailableError, FencedError, LeaseHeldError
from consumer.domain.event import Event
from consumer.service.threads import Signal
from tests.support.kafka_group import Handled, Member, Topic, running, with_settings
from tests.support.waiting import wait_until

PROTOCOLS = [
    {"group_protocol": "consumer"},
    {"group_protocol": "classic", "assignment_strategy": "cooperative-sticky"},
    {"group_protocol": "classic", "assignment_strategy": "range"},
]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: "-".join(protocol.values()))
def test_offsets_are_committed_only_after_the_handler_returns(topic: Topic, protocol: dict[str, str]) -> None:
    gate = threading.Event()
    handled = Handled(lambda event, _: None if event.stream == "quick" else (gate.wait(20), None)[1])
    topic.send("quick 1", "slow 1", "quick 2", "quick 3")
    member = Member(with_settings(topic, protocol), handled)
    with running(member):
        wait_until(lambda: len(handled.done) == 3)
        wait_until(lambda: topic.committed() == 1)
        gate.set()
        wait_until(lambda: topic.committed() == 4)
        member.stop()
    assert sorted(handled.offsets) == [0, 1, 2, 3]


def test_a_new_member_starts_at_the_committed_offset_and_an_old_group_misses_nothing(topic: Topic) -> None:
    first, second = Handled(), Handled()
    topic.send("a 1", "a 2")
    member = Member(topic.settings, first)
    with running(member):
        wait_until(lambda: topic.committed() == 2)
        member.stop()
    topic.send("a 3", "a 4")
    with running(Member(topic.settings, second)):
        wait_until(lambda: len(second.done) == 2)
    assert first.offsets == [0, 1]
    assert second.offsets == [2, 3]


@pytest.mark.parametrize("error", [LeaseHeldError, FencedError, BrokerUnavailableError, ZeroDivisionError])
def test_a_failing_event_is_held_and_not_acknowledged_until_it_succeeds(topic: Topic, error: type[Exception]) -> None:
    healthy = threading.Event()

    def act(event: Event, _abandon: Signal) -> None:
        if event.stream == "ill" and not healthy.is_set():
            raise error("no") if error is ZeroDivisionError else error("no", remedy="wait")  # type: ignore[call-arg]

    handled = Handled(act)
    topic.send("well 1", "ill 1", "well 2")
    with running(Member(topic.settings, handled)):
        wait_until(lambda: len(handled.done) == 2 and len(handled.started) >= 5)
        assert topic.committed() == 1
        healthy.set()
        wait_until(lambda: topic.committed() == 3)


def test_an_invalid_event_becomes_a_dead_letter_and_the_partition_goes_on(topic: Topic) -> None:
    handled = Handled()
    topic.send("a 1", "nonsense", "a 2")
    member = Member(topic.settings, handled)
    with running(member):
        wait_until(lambda: topic.committed() == 3)
    assert member.letters.offsets == [1]
    assert handled.offsets == [0, 2]
    assert member.metrics.counts["dead_letter other"] == 1


def test_an_offset_is_not_committed_while_its_dead_letter_fails(topic: Topic) -> None:
    handled = Handled()
    topic.send("a 1", "nonsense", "a 2")
    member = Member(topic.settings, handled)
    member.letters.failures.append(BrokerUnavailableError("not acknowledged", remedy="wait"))
    with running(member):
        wait_until(lambda: member.metrics.counts["retry  BrokerUnavailableError"] >= 3)
        wait_until(lambda: len(handled.done) == 2)
        assert topic.committed() == 1
        member.letters.failures.clear()
        wait_until(lambda: topic.committed() == 3)
    assert member.letters.offsets == [1]


def test_what_a_killed_member_did_not_finish_is_delivered_again(topic: Topic) -> None:
    topic.send("a 1", "b 1", "b 2")

    def hang(event: Event, abandon: Signal) -> None:
        if event.stream == "b":
            abandon.wait(20)
            raise FencedError("given up", remedy="none needed")

    stuck = Handled(hang)
    killed = Member(topic.settings, stuck)
    with running(killed):
        wait_until(lambda: topic.committed() == 1)
        killed.loop.stop_now()
        killed.thread.join(20)
    survivor = Handled()
    with running(Member(topic.settings, survivor)):
        wait_until(lambda: topic.committed() == 3)
    assert survivor.offsets == [1, 2]
