"""What every ledger does with backfills."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consumer.adapters.postgres.backfills import PostgresBackfills
from consumer.domain.backfill import BackfillState
from consumer.domain.errors import (
    BackfillChangedError,
    ConfigurationError,
    DivergenceError,
    FencedError,
    UnknownCommitError,
)
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.window import Window
from consumer.ports import Claim, Ledger
from consumer.service.backfill.ports import Backfills
from consumer.testing.ledger import MemoryLedger
from tests.support.ledger_contract import TWO_FILES, Publish, claim, current, database, kind, ledger, publish
from tests.support.ledger_values import (
    DAY,
    SOURCE,
    STREAM,
    T0,
    TARGET,
    TTL,
    backfill,
    backfill_request,
    batch,
    event,
    publication,
    supplement,
    trigger,
)

__all__ = ["claim", "database", "kind", "ledger", "publish"]

OPENED = T0 - 10 * DAY


def backfills_of(ledger: Ledger) -> Backfills:
    return ledger.backfills if isinstance(ledger, MemoryLedger) else PostgresBackfills(ledger._database)  # type: ignore[attr-defined]


@pytest.fixture
def history(ledger: Ledger) -> Claim:
    """The lease on a stream that starts at ``T0``."""
    ledger.register(STREAM, T0)
    claimed = ledger.claim(STREAM, "first", TTL)
    ledger.bind(claimed, source_uuid=SOURCE, target_uuid=TARGET)
    return claimed


def test_a_start_counts_until_the_stream_is_claimed(ledger: Ledger) -> None:
    ledger.register(STREAM)
    found = ledger.register(STREAM, T0)
    assert (found.start, found.watermark, found.unread) == (T0, T0, True)
    ledger.claim(STREAM, "first", TTL)
    found = ledger.register(STREAM, T0 - DAY)
    assert (found.start, found.watermark) == (T0, T0)


def test_a_request_is_kept_once_with_its_hint_and_does_not_overlap_another(ledger: Ledger, history: Claim) -> None:
    backfills, wanted = backfills_of(ledger), backfill_request(Window(lower=OPENED, upper=T0))
    for _ in range(2):
        backfills.request(wanted, event("begin"))
    (known,) = backfills.open(STREAM)
    assert replace(known, requested=wanted.requested) == wanted
    assert [message.event.id for message in ledger.outbox(10)] == ["begin"]
    with pytest.raises(ConfigurationError, match=f"overlaps the open request {wanted.id}"):
        backfills.request(backfill_request(Window(lower=T0 - DAY, upper=T0)), event("other"))
    backfills.request(backfill_request(Window(lower=OPENED - DAY, upper=OPENED)), event("beside"))
    assert len(backfills.all([STREAM])) == 2
    (cancelled,) = backfills.cancel(STREAM, wanted.id)
    assert (cancelled.state, cancelled.ended is None) == (BackfillState.CANCELLED, False)
    assert backfills.cancel(STREAM, wanted.id) == []


def test_a_backfill_moves_its_request_in_the_publish_and_leaves_the_watermark(
    ledger: Ledger, publish: Publish, history: Claim
) -> None:
    backfills, wanted = backfills_of(ledger), backfill_request(Window(lower=OPENED, upper=T0))
    backfills.request(wanted, event("begin"))
    part = backfill(wanted.id, Window(lower=OPENED, upper=OPENED + DAY))
    publish(publication(history, part, outbox=[event("hint")]))
    (known,) = backfills.open(STREAM)
    assert (known.position, known.windows, known.rows, known.bytes) == (OPENED + DAY, 1, 10, 200)
    record = current(ledger)
    assert (record.watermark, record.last_upper) == (T0, None)
    assert record.last_batch_id == record.last_backfill_id == part.id
    (recorded,) = ledger.windows(STREAM, Window(lower=OPENED, upper=T0))
    assert (recorded.window, recorded.cold) == (part.window, TWO_FILES)
    with pytest.raises(UnknownCommitError):
        publish(publication(history, part))
    publish(publication(history, backfill(wanted.id, Window(lower=OPENED + DAY, upper=T0))))
    (done,) = backfills.all([STREAM])
    assert (done.state, done.position, done.rows, done.ended is None) == (BackfillState.DONE, T0, 20, False)
    publish(publication(history, batch(Window(lower=T0, upper=T0 + DAY))))
    assert current(ledger).watermark == T0 + DAY


def test_a_supplement_to_a_backfilled_window_is_recorded_with_it(
    ledger: Ledger, publish: Publish, history: Claim
) -> None:
    backfills, wanted = backfills_of(ledger), backfill_request(Window(lower=OPENED, upper=T0))
    backfills.request(wanted, event("begin"))
    span = Window(lower=OPENED, upper=OPENED + DAY)
    publish(publication(history, backfill(wanted.id, span)))
    publish(publication(history, supplement(TWO_FILES, span)))
    (recorded,) = ledger.windows(STREAM, span)
    assert recorded.cold == Fingerprint(rows=20, digest=2)


def test_a_stretch_without_rows_is_done_without_a_snapshot(ledger: Ledger, history: Claim) -> None:
    backfills, wanted = backfills_of(ledger), backfill_request(Window(lower=OPENED, upper=T0))
    backfills.request(wanted, event("begin"))
    part = backfill(wanted.id, Window(lower=OPENED, upper=OPENED + DAY), rows=0)
    backfills.pass_over(history, part, trigger(), [event("hint")])
    (known,) = backfills.open(STREAM)
    assert (known.position, known.windows, known.rows) == (OPENED + DAY, 1, 0)
    assert (current(ledger).last_batch_id, current(ledger).last_backfill_id) == (None, part.id)
    assert [recorded.cold for recorded in ledger.windows(STREAM, part.window)] == [EMPTY]
    assert [message.event.id for message in ledger.outbox(10)] == ["begin", "hint"]


@pytest.mark.parametrize("empty", [False, True], ids=["rows", "no rows"])
def test_a_backfill_overlaps_no_window_that_is_done_and_reaches_not_beyond_the_start(
    ledger: Ledger, publish: Publish, history: Claim, empty: bool
) -> None:
    backfills, wanted = backfills_of(ledger), backfill_request(Window(lower=OPENED, upper=T0 + DAY))
    backfills.request(wanted, event("begin"))

    def do(span: Window) -> None:
        part = backfill(wanted.id, span, rows=0 if empty else 10)
        if empty:
            backfills.pass_over(history, part, trigger(), ())
        else:
            publish(publication(history, part))

    with pytest.raises(DivergenceError, match="beyond the start"):
        do(Window(lower=T0 - DAY, upper=T0 + DAY / 2))
    do(Window(lower=OPENED, upper=OPENED + 2 * DAY))
    with pytest.raises(BackfillChangedError):
        do(Window(lower=OPENED + DAY, upper=OPENED + 3 * DAY))
    other = backfill_request(Window(lower=OPENED, upper=T0))
    backfills.cancel(STREAM, None)
    backfills.request(other, event("again"))
    for span in (Window(lower=OPENED, upper=OPENED + DAY), Window(lower=OPENED + DAY, upper=OPENED + 3 * DAY)):
        with pytest.raises(DivergenceError, match="overlaps"):
            publish(publication(history, backfill(other.id, span)))
    assert backfills.open(STREAM)[0].position == OPENED


def test_a_backfill_is_refused_to_an_old_epoch_and_once_its_request_is_cancelled(
    ledger: Ledger, publish: Publish, history: Claim
) -> None:
    backfills, wanted = backfills_of(ledger), backfill_request(Window(lower=OPENED, upper=T0))
    backfills.request(wanted, event("begin"))
    part = backfill(wanted.id, Window(lower=OPENED, upper=OPENED + DAY))
    heir = ledger.claim(STREAM, "first", TTL)

    def refused(owner: Claim, error: type[Exception]) -> None:
        with pytest.raises(error):
            publish(publication(owner, part))
        with pytest.raises(error):
            backfills.pass_over(owner, replace(part, units=()), trigger(), ())
        with pytest.raises(error):
            backfills.skip(owner, wanted.id, T0)

    refused(history, FencedError)
    backfills.cancel(STREAM, None)
    refused(heir, BackfillChangedError)
    assert ledger.windows(STREAM, Window(lower=OPENED, upper=T0)) == []


def test_what_was_done_before_is_skipped(ledger: Ledger, history: Claim) -> None:
    backfills, wanted = backfills_of(ledger), backfill_request(Window(lower=OPENED, upper=T0))
    backfills.request(wanted, event("begin"))
    backfills.skip(history, wanted.id, OPENED + DAY)
    assert [one.position for one in backfills.open(STREAM)] == [OPENED + DAY]
    backfills.skip(history, wanted.id, T0)
    assert backfills.open(STREAM) == []
    assert [one.state for one in backfills.all([STREAM])] == [BackfillState.DONE]
