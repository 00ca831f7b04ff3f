"""What every ledger does with events that wait, and with messages to be sent."""

from __future__ import annotations

from consumer.ports import Claim, Ledger, StreamState
from tests.support.ledger_contract import Publish, claim, current, database, kind, ledger, publish
from tests.support.ledger_values import (
    STREAM,
    batch,
    event,
    publication,
)
from tests.support.waiting import wait_until

__all__ = ["claim", "database", "kind", "ledger", "publish"]


def test_a_halted_stream_tells_reason_and_remedy_and_keeps_its_events_until_it_is_resumed(
    ledger: Ledger, claim: Claim
) -> None:
    assert ledger.halt(STREAM, reason="the table is gone", remedy="restore it", epoch=claim.epoch)
    for number in (1, 2, 2, 3):
        ledger.park(event(f"tick-{number}"))

    halted = current(ledger)
    assert (halted.state, halted.halt_reason, halted.halt_remedy) == (
        StreamState.HALTED,
        "the table is gone",
        "restore it",
    )
    assert ledger.parked(STREAM) == [event(f"tick-{number}") for number in (1, 2, 3)]
    assert ledger.outbox(10) == []

    ledger.resume(STREAM)

    active = current(ledger)
    assert (active.state, active.halt_reason, active.halt_remedy) == (StreamState.ACTIVE, None, None)
    assert ledger.parked(STREAM) == []
    assert [message.event.id for message in ledger.outbox(10)] == ["tick-1", "tick-2", "tick-3"]


def test_an_event_that_is_parked_after_the_resume_is_not_lost(ledger: Ledger, claim: Claim) -> None:
    ledger.halt(STREAM, reason="r", remedy="m", epoch=None)
    ledger.resume(STREAM)

    ledger.park(event("too-late"))

    assert ledger.parked(STREAM) == []
    assert [message.event.id for message in ledger.outbox(10)] == ["too-late"]


def test_halting_needs_no_epoch_and_no_record(ledger: Ledger) -> None:
    assert ledger.halt("unheard_of", reason="r", remedy="m", epoch=None)

    assert current(ledger, "unheard_of").state is StreamState.HALTED


def test_messages_are_relayed_oldest_first_and_removed_when_acknowledged(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    publish(publication(claim, batch(), outbox=[event(f"wake-{number}") for number in range(3)]))

    first = ledger.outbox(2)
    ledger.relayed([message.number for message in first])
    second = ledger.outbox(2)
    ledger.relayed([message.number for message in second])

    assert [message.event.id for message in first] == ["wake-0", "wake-1"]
    assert [message.event.id for message in second] == ["wake-2"]
    ledger.relayed([message.number for message in second])
    assert ledger.outbox(2) == []


def test_a_message_is_kept_from_other_relays_and_comes_back_if_its_relay_died(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    publish(publication(claim, batch(), outbox=[event("wake")]))
    taken = ledger.outbox(10)

    assert len(taken) == 1
    assert ledger.outbox(10) == []
    wait_until(lambda: ledger.outbox(10) == taken, seconds=10, what="the messages to come back")


# ------------------------------------------------------------------------------------------- late rows
