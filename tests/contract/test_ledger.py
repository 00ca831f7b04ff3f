"""What every ledger does, the one in Postgres and the one in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Protocol
from uuid import uuid4

import pytest
from pydantic import SecretStr

from consumer.adapters.postgres.backfills import PostgresBackfills
from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.ledger import PostgresLedger
from consumer.adapters.postgres.migrations import migrate
from consumer.adapters.postgres.publishing import fence, record
from consumer.domain.backfill import BackfillState
from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.errors import (
    BackfillChangedError,
    BaseMovedError,
    ConfigurationError,
    DivergenceError,
    FencedError,
    LeaseHeldError,
    SourceChangedError,
    StaleDifferenceError,
    UnknownCommitError,
)
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.inventory import PartitionContent
from consumer.domain.reconcile import ComparedPartition, Finding, FindingKind, PartitionSpan
from consumer.domain.schema_history import KnownColumn, SchemaEra
from consumer.domain.type_choices import As
from consumer.domain.window import BEGINNING, Window
from consumer.ports import Claim, Comparison, Ledger, Publication, StreamRecord, StreamState
from consumer.service.backfill.ports import Backfills
from consumer.settings.connections import PostgresSettings
from consumer.testing.ledger import MemoryLedger
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
    files,
    publication,
    replacement,
    supplement,
    trigger,
    window,
)
from tests.support.postgres_server import PostgresServer, running_postgres

SNAPSHOT = 4_711
RELAY_CLAIM = timedelta(milliseconds=300)
SHORT = timedelta(milliseconds=200)


class Publish(Protocol):
    def __call__(self, publication: Publication, swap: Callable[[StreamRecord], None] = ...) -> None: ...


def no_swap(_: StreamRecord) -> None:
    return None


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as running:
        yield running


@pytest.fixture(scope="module")
def database(server: PostgresServer) -> Iterator[Database]:
    with Database(PostgresSettings(dsn=SecretStr(server.create_database()))) as opened:
        migrate(opened)
        yield opened


@pytest.fixture(params=["postgres", "memory"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ledger(kind: str, request: pytest.FixtureRequest) -> Ledger:
    if kind == "memory":
        return MemoryLedger(relay_claim=RELAY_CLAIM)
    database: Database = request.getfixturevalue("database")
    with database.transaction() as connection:
        connection.execute(
            b"TRUNCATE offload_drops, offload_backfills, offload_partitions, offload_differences, offload_findings,"
            b" offload_watermarks, offload_batches, offload_attempts, offload_files, offload_parked, offload_outbox,"
            b" offload_publishes, offload_maintenance, offload_superfluous"
        )
    return PostgresLedger(database, relay_claim=RELAY_CLAIM)


@pytest.fixture
def publish(ledger: Ledger, request: pytest.FixtureRequest) -> Publish:
    def through(publication: Publication, swap: Callable[[StreamRecord], None] = no_swap) -> None:
        if isinstance(ledger, MemoryLedger):

            def swapped(record: StreamRecord) -> Callable[[], None]:
                swap(record)
                return lambda: None

            ledger.publish(publication, SNAPSHOT, swapped)
            return
        database: Database = request.getfixturevalue("database")
        with database.transaction() as connection:
            swap(fence(connection, publication))
            record(connection, publication, SNAPSHOT)

    return through


@pytest.fixture
def claim(ledger: Ledger) -> Claim:
    ledger.register(STREAM)
    return ledger.claim(STREAM, "first", TTL)


def current(ledger: Ledger, stream: str = STREAM) -> StreamRecord:
    return ledger.read([stream])[stream]


def wait_for(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


# ------------------------------------------------------------------------------------------- streams


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


# ------------------------------------------------------------------------------------------- leases


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

    wait_for(taken_over)


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


# ------------------------------------------------------------------------------------------- fencing


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


# ------------------------------------------------------------------------------------------- binding


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


# ------------------------------------------------------------------------------------------- attempts


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


# ------------------------------------------------------------------------------------------- empty windows


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


# ------------------------------------------------------------------------------------------- outbox


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
    wait_for(lambda: ledger.outbox(10) == taken)


# ------------------------------------------------------------------------------------------- late rows

TWO_FILES = Fingerprint(rows=10, digest=1)
"""What :func:`~tests.support.ledger_values.files` makes of a batch: twice five rows, the digests added up."""


def test_a_supplement_is_added_to_what_is_recorded_of_its_window_and_leaves_the_watermark(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    publish(publication(claim, batch()))
    publish(publication(claim, supplement(TWO_FILES, lateness=(1, 2, 0, 0, 0, 0, 7))))
    (recorded,) = ledger.windows(STREAM, window())
    assert recorded.cold == recorded.hot == Fingerprint(rows=20, digest=2)
    assert (current(ledger).watermark, current(ledger).last_upper) == (T0, T0)
    assert tuple(ledger.lateness(STREAM)) == (1, 2, 0, 0, 0, 0, 7)
    assert {one.kind for one in ledger.batches(STREAM, 9)} == {BatchKind.WINDOW, BatchKind.SUPPLEMENT}


def test_a_supplement_to_a_window_without_rows_counts_for_it_also_when_the_window_grows(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    ledger.advance(claim, batch(rows=0), trigger(), ())
    publish(publication(claim, supplement(EMPTY)))
    ledger.advance(claim, batch(Window(lower=T0, upper=T0 + DAY), rows=0), trigger(), ())
    for stretch in (Window(lower=BEGINNING, upper=T0 + DAY), Window(lower=T0 + DAY / 2, upper=T0 + DAY)):
        recorded = ledger.windows(STREAM, stretch)
        assert sum((one.cold for one in recorded), EMPTY) == TWO_FILES
    publish(publication(claim, supplement(TWO_FILES, Window(lower=BEGINNING, upper=T0 + DAY))))


def test_a_supplement_that_was_computed_from_another_content_is_refused(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    publish(publication(claim, batch()))
    with pytest.raises(StaleDifferenceError, match="another content"):
        publish(publication(claim, supplement(Fingerprint(rows=9, digest=1))))
    publish(publication(claim, supplement(TWO_FILES)))
    with pytest.raises(UnknownCommitError):
        publish(publication(claim, supplement(TWO_FILES)))


def test_a_replacement_takes_the_place_of_what_is_recorded_and_supplements_after_it_count(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    publish(publication(claim, batch()))
    publish(publication(claim, supplement(TWO_FILES)))
    publish(publication(claim, replacement(Fingerprint(rows=20, digest=2))))
    (recorded,) = ledger.windows(STREAM, window())
    assert (recorded.cold, recorded.hot, recorded.revision) == (TWO_FILES, TWO_FILES, 1)
    assert (current(ledger).watermark, current(ledger).last_upper) == (T0, T0)
    publish(publication(claim, supplement(TWO_FILES, revision=1)))
    (recorded,) = ledger.windows(STREAM, window())
    assert recorded.cold == Fingerprint(rows=20, digest=2)
    publish(publication(claim, replacement(Fingerprint(rows=20, digest=2), revision=2)))
    (recorded,) = ledger.windows(STREAM, window())
    assert (recorded.cold, recorded.revision) == (TWO_FILES, 2)


def test_a_window_that_is_equal_again_has_no_finding(ledger: Ledger, publish: Publish, claim: Claim) -> None:
    publish(publication(claim, batch()))
    hot = Fingerprint(rows=4, digest=5)
    kinds = (FindingKind.CHANGED, FindingKind.GAP)
    findings = [Finding(kind=kind, window=window(), rows=1, detail="d") for kind in kinds]
    ledger.record_comparison(claim, Comparison(hot={BEGINNING: hot}, findings=findings))
    ledger.record_comparison(claim, Comparison(equal=[window()]))
    assert [finding.kind for finding in ledger.findings(STREAM)] == [FindingKind.GAP]
    (recorded,) = ledger.windows(STREAM, window())
    assert recorded.hot == recorded.cold == TWO_FILES


def test_a_replacement_of_another_content_or_revision_is_refused(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    publish(publication(claim, batch()))
    with pytest.raises(StaleDifferenceError, match="another content"):
        publish(publication(claim, replacement(Fingerprint(rows=9, digest=1))))
    publish(publication(claim, replacement(TWO_FILES)))
    with pytest.raises(UnknownCommitError):
        publish(publication(claim, replacement(TWO_FILES)))
    with pytest.raises(StaleDifferenceError):
        publish(publication(claim, supplement(TWO_FILES)))
    with pytest.raises(StaleDifferenceError):
        publish(publication(claim, replacement(TWO_FILES, revision=3)))


def test_a_replacement_settles_what_was_found_in_its_window_and_nothing_else(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    after = Window(lower=T0, upper=T0 + DAY)
    publish(publication(claim, batch()))
    publish(publication(claim, batch(after)))
    findings = [
        Finding(kind=kind, window=span, rows=1, detail="d")
        for span in (window(), after)
        for kind in (FindingKind.CHANGED, FindingKind.DELETED, FindingKind.TOO_LATE, FindingKind.GAP)
    ]
    hot = Fingerprint(rows=4, digest=5)
    ledger.record_comparison(claim, Comparison(hot={BEGINNING: hot, T0: hot}, findings=findings))
    publish(publication(claim, replacement(TWO_FILES)))
    left = {(finding.kind, finding.window) for finding in ledger.findings(STREAM)}
    assert left == {(one.kind, one.window) for one in findings if one.window == after or one.kind is FindingKind.GAP}
    first, second = ledger.windows(STREAM, Window(lower=BEGINNING, upper=T0 + DAY))
    assert (first.hot, second.hot) == (TWO_FILES, hot)


def test_an_old_epoch_publishes_no_supplement_and_records_no_comparison(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    publish(publication(claim, batch()))
    ledger.claim(STREAM, "first", TTL)
    with pytest.raises(FencedError):
        publish(publication(claim, supplement(TWO_FILES)))
    with pytest.raises(FencedError):
        ledger.record_comparison(claim, Comparison())


def test_a_comparison_is_kept_partition_by_partition_and_window_by_window(
    ledger: Ledger, publish: Publish, claim: Claim
) -> None:
    publish(publication(claim, batch()))
    partition = ComparedPartition(
        id="20260301",
        content=PartitionContent(rows=3, min_block=1, max_block=9, data_version=0),
        span=PartitionSpan(first=T0 - DAY, last=T0, pending=2),
        watermark=T0,
        exact=False,
    )
    other = replace(partition, id="20260302")
    hot = Fingerprint(rows=4, digest=5)
    ledger.record_comparison(claim, Comparison(partitions=[partition, other], hot={BEGINNING: hot}))
    assert ledger.partitions(STREAM) == {"20260301": partition, "20260302": other}
    (recorded,) = ledger.windows(STREAM, window())
    assert (recorded.hot, recorded.cold) == (hot, TWO_FILES)
    exact = replace(partition, exact=True)
    ledger.record_comparison(claim, Comparison(partitions=[exact], gone=["20260302"]))
    assert ledger.partitions(STREAM) == {"20260301": exact}
    ledger.accept(STREAM)
    assert ledger.partitions(STREAM) == {"20260301": exact.settled()}


def test_findings_are_accepted_once_and_open_again_when_they_grow(ledger: Ledger, claim: Claim) -> None:
    finding = Finding(kind=FindingKind.DELETED, window=window(), rows=3, detail="gone")
    ledger.record_comparison(claim, Comparison(findings=[finding]))
    assert list(ledger.findings(STREAM)) == [finding]
    assert (ledger.accept(STREAM), ledger.accept(STREAM)) == (1, 0)
    ledger.record_comparison(claim, Comparison(findings=[finding]))
    assert list(ledger.findings(STREAM)) == [replace(finding, accepted=True)]
    ledger.record_comparison(claim, Comparison(findings=[replace(finding, rows=4)]))
    assert list(ledger.findings(STREAM)) == [replace(finding, rows=4)]


# ------------------------------------------------------------------------------------------- history

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
