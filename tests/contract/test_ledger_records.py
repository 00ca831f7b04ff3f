"""What every ledger does with streams and who owns them, the one in Postgres and the one in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from consumer.domain.batch import BatchStatus
from consumer.domain.errors import (
    DivergenceError,
    FencedError,
    LeaseHeldError,
    SourceChangedError,
)
from consumer.domain.schema_history import KnownColumn, SchemaEra
from consumer.domain.type_choices import As
from consumer.domain.window import BEGINNING
from consumer.ports import Claim, Ledger, StreamState
from tests.support.ledger_contract import (
    SHORT,
    Publish,
    claim,
    current,
    database,
    kind,
    ledger,
    publish,
)
from tests.support.ledger_values import (
    SOURCE,
    STREAM,
    TARGET,
    TTL,
    batch,
    files,
    publication,
    trigger,
)
from tests.support.waiting import wait_until

__all__ = ["claim", "database", "kind", "ledger", "publish"]


def test_a_registered_stream_begins_at_the_beginning_of_time_and_is_active(ledger: Ledger) -> None:
    fresh = ledger.register(STREAM)

    assert (fresh.watermark, fresh.last_upper, fresh.generation, fresh.epoch) == (BEGINNING, None, 1, 0)
    assert (fresh.state, fresh.owner, fresh.lease_expires) == (StreamState.ACTIVE, None, None)
    assert fresh.watermark.utcoffset() == timedelta(0)


def test_registering_again_changes_nothing(ledger: Ledger, claim: Claim) -> None:
    assert ledger.register(STREAM).epoch == claim.epoch


def test_reading_leaves_out_streams_that_have_no_record(ledger: Ledger, claim: Claim) -> None:
    assert set(ledger.read([STREAM, "unheard_of"])) == {STREAM}
    assert ledger.read([]) == {}


def test_a_paused_stream_is_halted_and_its_owner_fenced(ledger: Ledger, claim: Claim) -> None:
    assert ledger.pause(STREAM, reason="paused by me", remedy="ask me")

    found = current(ledger)
    assert (found.state, found.halt_reason, found.owner, found.epoch) == (
        StreamState.HALTED,
        "paused by me",
        None,
        claim.epoch + 1,
    )
    with pytest.raises(FencedError):
        ledger.renew(claim, TTL)
    assert ledger.pause(STREAM, reason="paused by me", remedy="ask me"), "an answer may have been lost"
    assert not ledger.pause(STREAM, reason="paused by you", remedy="ask you")
    assert current(ledger).halt_reason == "paused by me"


def test_pausing_a_stream_without_a_record_is_refused(ledger: Ledger) -> None:
    with pytest.raises(DivergenceError, match="no row"):
        ledger.pause("unheard_of", reason="paused by me", remedy="ask me")


def test_every_acquisition_increments_the_epoch(ledger: Ledger, claim: Claim) -> None:
    again = ledger.claim(STREAM, "first", TTL)

    assert (claim.epoch, again.epoch) == (1, 2)
    assert again.record.owner == "first"


def test_a_lease_that_has_not_expired_is_refused_to_another_owner(ledger: Ledger, claim: Claim) -> None:
    with pytest.raises(LeaseHeldError, match=f"{STREAM}.*first"):
        ledger.claim(STREAM, "second", TTL)

    assert current(ledger).epoch == claim.epoch


def test_an_expired_lease_is_taken_over(ledger: Ledger) -> None:
    ledger.register(STREAM)
    ledger.claim(STREAM, "first", SHORT)

    def taken_over() -> bool:
        try:
            return ledger.claim(STREAM, "second", TTL).epoch == 2
        except LeaseHeldError:
            return False

    wait_until(taken_over, seconds=10, what="the lease to be taken over")


def test_a_renewed_lease_outlives_its_first_term(ledger: Ledger) -> None:
    ledger.register(STREAM)
    claim = ledger.claim(STREAM, "first", SHORT)
    first_end = claim.record.lease_expires
    assert first_end is not None

    ledger.renew(claim, TTL)

    extended = current(ledger).lease_expires
    assert extended is not None
    assert extended > first_end + TTL / 2


def test_a_released_lease_is_free(ledger: Ledger, claim: Claim) -> None:
    ledger.release(claim)

    assert ledger.claim(STREAM, "second", TTL).epoch == 2


def test_a_lease_that_was_taken_over_can_not_be_released_by_its_old_owner(ledger: Ledger, claim: Claim) -> None:
    newer = ledger.claim(STREAM, "first", TTL)
    ledger.release(claim)

    assert current(ledger).epoch == newer.epoch
    assert current(ledger).owner == "first"


def test_a_stream_without_a_row_can_not_be_claimed(ledger: Ledger) -> None:
    with pytest.raises(DivergenceError, match="no row"):
        ledger.claim("unheard_of", "first", TTL)


def test_an_old_epoch_can_do_nothing(ledger: Ledger, publish: Publish, claim: Claim) -> None:
    planned = batch()
    ledger.begin(claim, planned, trigger())
    newer = ledger.claim(STREAM, "first", TTL)
    ledger.begin(newer, planned, trigger())

    attempts: list[Callable[[], object]] = [
        lambda: ledger.renew(claim, TTL),
        lambda: ledger.bind(claim, source_uuid=SOURCE, target_uuid=TARGET),
        lambda: ledger.begin(claim, planned, trigger()),
        lambda: ledger.stage(claim, planned.id, "s3://icehaul/zombie", files("s3://icehaul/zombie")),
        lambda: ledger.advance(claim, batch(rows=0), trigger(), []),
        lambda: publish(publication(claim, planned)),
    ]
    for attempt in attempts:
        with pytest.raises(FencedError, match=r"epoch 1.*epoch 2"):
            attempt()
    ledger.fail(claim, planned.id, "the zombie's failure")
    assert not ledger.halt(STREAM, reason="the zombie's", remedy="none", epoch=claim.epoch)

    found = current(ledger)
    assert (found.watermark, found.source_uuid, found.state) == (BEGINNING, None, StreamState.ACTIVE)
    resolved = ledger.resolve(STREAM, planned.id)
    assert resolved is not None
    assert (resolved.status, resolved.attempts) == (BatchStatus.WRITING, 2)


def test_a_released_lease_fences_what_its_owner_still_tries(ledger: Ledger, publish: Publish, claim: Claim) -> None:
    planned = batch()
    ledger.begin(claim, planned, trigger())
    ledger.release(claim)

    with pytest.raises(FencedError, match="nobody"):
        publish(publication(claim, planned))


def test_the_same_epoch_of_another_owner_is_fenced(ledger: Ledger, publish: Publish, claim: Claim) -> None:
    impostor = replace(claim, owner="second")

    with pytest.raises(FencedError):
        publish(publication(impostor, batch()))


def test_tables_are_bound_once(ledger: Ledger, claim: Claim) -> None:
    ledger.bind(claim, source_uuid=SOURCE, target_uuid=TARGET)
    ledger.bind(claim, source_uuid=SOURCE, target_uuid=TARGET)

    assert (current(ledger).source_uuid, current(ledger).target_uuid) == (SOURCE, TARGET)
    with pytest.raises(SourceChangedError, match=str(SOURCE)):
        ledger.bind(claim, source_uuid=uuid4(), target_uuid=TARGET)
    with pytest.raises(DivergenceError, match=str(TARGET)):
        ledger.bind(claim, source_uuid=SOURCE, target_uuid=uuid4())


def test_what_the_columns_were_is_kept_until_it_is_told_anew(ledger: Ledger, claim: Claim) -> None:
    first = SchemaEra(
        since=BEGINNING, columns=(KnownColumn(name="ts", type="Date"), KnownColumn(name="a", type="Int8"))
    )
    renamed = KnownColumn(name="b", type="Int128", chosen=As.STRING, former=("a", "older"))
    second = SchemaEra(since=BEGINNING + timedelta(days=1, microseconds=1), columns=(first.columns[0], renamed))
    assert ledger.read([claim.stream])[claim.stream].schemas == ()
    for history in ((first,), (first, second)):
        ledger.bind(claim, source_uuid=SOURCE, target_uuid=TARGET, schemas=history)
        ledger.bind(claim, source_uuid=SOURCE, target_uuid=TARGET)
        assert ledger.read([claim.stream])[claim.stream].schemas == history


# ------------------------------------------------------------------------------------------- batches
