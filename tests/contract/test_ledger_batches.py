"""What every ledger does with batches and their files, the one in Postgres and the one in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from consumer.domain.batch import BatchStatus
from consumer.domain.errors import (
    BaseMovedError,
    DivergenceError,
    UnknownCommitError,
)
from consumer.domain.window import BEGINNING, Window
from consumer.ports import Claim, Ledger, StreamRecord
from tests.support.ledger_contract import SNAPSHOT, Publish, claim, current, database, kind, ledger, publish
from tests.support.ledger_values import (
    DAY,
    STREAM,
    T0,
    batch,
    event,
    files,
    publication,
    trigger,
    window,
)

__all__ = ["claim", "database", "kind", "ledger", "publish"]


def test_attempts_at_a_batch_are_counted(ledger: Ledger, claim: Claim) -> None:
    planned = batch()
    ledger.begin(claim, planned, trigger("one"))
    ledger.fail(claim, planned.id, "the store was away")
    failed = ledger.resolve(STREAM, planned.id)
    ledger.begin(claim, planned, trigger("two"))
    writing = ledger.resolve(STREAM, planned.id)

    assert failed is not None
    assert (failed.status, failed.error, failed.attempts) == (BatchStatus.FAILED, "the store was away", 1)
    assert failed.ended is not None
    assert writing is not None
    assert (writing.status, writing.error, writing.attempts) == (BatchStatus.WRITING, None, 2)
    assert writing.ended is None


def test_a_published_batch_moves_the_watermark_and_is_recorded_as_read(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    planned = batch()
    ledger.begin(claim, planned, trigger())
    published = publication(claim, planned, outbox=[event("wake", "bars")])

    publish(published)

    stream = current(ledger)
    assert (stream.watermark, stream.last_upper) == (T0, T0)
    found = ledger.resolve(STREAM, planned.id)
    assert found is not None
    assert (found.status, found.rows, found.bytes) == (BatchStatus.PUBLISHED, 10, 200)
    assert (found.digest, found.snapshot_id) == (published.fingerprint.hex, SNAPSHOT)
    assert found.proof == published.proof is not None
    assert (found.window, found.generation, found.trace_id) == (planned.window, 1, trigger().trace_id)
    assert found.started.utcoffset() == timedelta(0)
    assert [message.event for message in ledger.outbox(10)] == [event("wake", "bars")]


def test_a_failure_after_the_fence_leaves_everything_as_it_was(ledger: Ledger, publish: Publish, claim: Claim) -> None:
    planned = batch()
    ledger.begin(claim, planned, trigger())

    def moved(_: StreamRecord) -> None:
        raise BaseMovedError("the table has moved", remedy="stage again")

    with pytest.raises(BaseMovedError):
        publish(publication(claim, planned, outbox=[event()]), moved)

    assert current(ledger).watermark == BEGINNING
    assert ledger.outbox(10) == []
    publish(publication(claim, planned))
    assert current(ledger).watermark == T0


def test_a_batch_is_published_once_and_whoever_repeats_it_is_sent_to_read_back(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    planned = batch()
    ledger.begin(claim, planned, trigger())
    publish(publication(claim, planned))

    with pytest.raises(UnknownCommitError, match=str(planned.id)):
        publish(publication(claim, planned))
    with pytest.raises(UnknownCommitError, match=str(planned.id)):
        ledger.begin(claim, planned, trigger())
    with pytest.raises(UnknownCommitError, match=str(planned.id)):
        ledger.advance(claim, replace(planned, units=()), trigger(), [])


@pytest.mark.parametrize("lower", [BEGINNING + DAY, T0 - DAY, T0 + DAY], ids=["before", "overlapping", "gap"])
def test_a_window_that_does_not_continue_the_watermark_is_refused(
    ledger: Ledger, publish: Publish, claim: Claim, lower: object
) -> None:
    publish(publication(claim, batch()))
    stray = batch(window(lower, T0 + 2 * DAY))  # type: ignore[arg-type]

    with pytest.raises(DivergenceError, match="not the lower bound"):
        publish(publication(claim, stray))
    with pytest.raises(DivergenceError, match="not the lower bound"):
        ledger.advance(claim, replace(stray, units=()), trigger(), [])
    assert current(ledger).watermark == T0


def test_a_batch_of_another_generation_is_refused(ledger: Ledger, publish: Publish, claim: Claim) -> None:
    with pytest.raises(DivergenceError, match="generation 2"):
        publish(publication(claim, batch(generation=2)))


def test_batches_come_newest_first_and_of_one_stream(ledger: Ledger, publish: Publish, claim: Claim) -> None:
    uppers = [T0, T0 + DAY, T0 + 2 * DAY]
    for lower, upper in zip([BEGINNING, *uppers], uppers, strict=False):
        publish(publication(claim, batch(window(lower, upper))))

    found = ledger.batches(STREAM, 2)

    assert [each.window.upper for each in found] == [T0 + 2 * DAY, T0 + DAY]
    assert ledger.batches("unheard_of", 2) == []


def test_files_are_staged_after_their_prefix_and_again_without_harm(ledger: Ledger, claim: Claim) -> None:
    planned = batch()
    ledger.begin(claim, planned, trigger())
    prefix = "s3://icehaul/attempt"

    for written in ([], files(prefix), files(prefix)):
        ledger.stage(claim, planned.id, prefix, written)


def test_a_path_is_staged_with_one_content_only(ledger: Ledger, claim: Claim) -> None:
    planned = batch()
    ledger.begin(claim, planned, trigger())
    prefix = "s3://icehaul/attempt"
    ledger.stage(claim, planned.id, prefix, files(prefix))

    with pytest.raises(DivergenceError):
        ledger.stage(claim, planned.id, prefix, [replace(files(prefix)[0], bytes=101)])


def test_nothing_is_staged_for_a_batch_that_was_not_begun(ledger: Ledger, claim: Claim) -> None:
    with pytest.raises(DivergenceError):
        ledger.stage(claim, uuid4(), "s3://icehaul/attempt", [])


def test_an_empty_window_advances_the_watermark_but_not_the_last_upper(ledger: Ledger, claim: Claim) -> None:
    ledger.advance(claim, batch(rows=0), trigger(), [event("wake", "bars")])

    stream = current(ledger)
    assert (stream.watermark, stream.last_upper) == (T0, None)
    assert [message.event.id for message in ledger.outbox(10)] == ["wake"]


def test_a_thousand_idle_ticks_leave_one_row_and_no_gap(
    ledger: Ledger, publish: Publish, claim: Claim, kind: str
) -> None:
    publish(publication(claim, batch()))
    ticks = 1000 if kind == "memory" else 100
    minute = timedelta(minutes=1)
    for number in range(ticks):
        idle = Window(lower=T0 + number * minute, upper=T0 + (number + 1) * minute)
        ledger.advance(claim, batch(idle, rows=0), trigger(), [])

    newest, first = ledger.batches(STREAM, 10)
    assert (newest.status, newest.window) == (BatchStatus.EMPTY, Window(lower=T0, upper=T0 + ticks * minute))
    assert (newest.rows, first.status) == (0, BatchStatus.PUBLISHED)
    last = ledger.resolve(STREAM, batch(idle, rows=0).id)
    assert last is not None
    assert last.status is BatchStatus.EMPTY


def test_empty_windows_on_both_sides_of_rows_stay_apart(ledger: Ledger, publish: Publish, claim: Claim) -> None:
    ledger.advance(claim, batch(rows=0), trigger(), [])
    publish(publication(claim, batch(window(T0, T0 + DAY))))
    ledger.advance(claim, batch(window(T0 + DAY, T0 + 2 * DAY), rows=0), trigger(), [])

    found = ledger.batches(STREAM, 10)
    assert [each.status for each in found] == [BatchStatus.EMPTY, BatchStatus.PUBLISHED, BatchStatus.EMPTY]
    assert current(ledger).last_upper == T0 + DAY


def test_a_batch_whose_rows_have_gone_since_it_was_begun_becomes_empty(ledger: Ledger, claim: Claim) -> None:
    planned = batch()
    ledger.begin(claim, planned, trigger())
    ledger.stage(claim, planned.id, "s3://icehaul/attempt", [])

    ledger.advance(claim, replace(planned, units=()), trigger(), [])

    found = ledger.resolve(STREAM, planned.id)
    assert found is not None
    assert (found.status, found.window) == (BatchStatus.EMPTY, planned.window)


# ------------------------------------------------------------------------------------------- halting
