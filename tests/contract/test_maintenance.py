"""What every ledger and every catalog does for maintenance, the real ones and those in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from pyiceberg.schema import Schema

from consumer.adapters.postgres.maintenance import PostgresMaintenance
from consumer.domain.batch import Batch, BatchKind, BatchStatus, Unit
from consumer.domain.errors import FencedError, StaleDifferenceError, UnknownCommitError
from consumer.domain.maintenance import TaskName
from consumer.domain.rewriting import Rewrite, Rewriting, RewrittenFile
from consumer.domain.window import Window
from consumer.ports import Claim, Ledger, Publication
from consumer.service.maintaining.ports import MaintenanceLedger
from consumer.testing.ledger import MemoryLedger
from tests.support.cold_tier import TRIGGER, ColdTier, IcebergColdTier, Step, rows_of
from tests.support.ledger_contract import Publish, claim, current, database, kind, ledger, publish
from tests.support.ledger_values import STREAM, TTL, batch, publication, trigger, window

__all__ = ["claim", "database", "kind", "ledger", "publish"]

TASK = TaskName.COMPACTION


@pytest.fixture
def records(ledger: Ledger, request: pytest.FixtureRequest) -> MaintenanceLedger:
    if isinstance(ledger, MemoryLedger):
        return ledger.maintenance
    return PostgresMaintenance(request.getfixturevalue("database"))


def rewrite(generation: int = 1) -> Batch:
    return Batch(
        id=uuid4(),
        stream=STREAM,
        kind=BatchKind.MAINTENANCE,
        window=window(),
        generation=generation,
        units=(),
        rewrite=Rewrite(files=(RewrittenFile(path="s3://lake/old"),), snapshot_id=1, sequence=1),
    )


def test_the_last_look_is_remembered_by_the_ledgers_clock(records: MaintenanceLedger, claim: Claim) -> None:
    looked, before = records.looked(STREAM, TASK)
    assert looked is None
    records.note(claim, TASK)
    looked, after = records.looked(STREAM, TASK)
    assert looked is not None
    assert before <= looked <= after
    records.note(claim, TASK)
    again, _ = records.looked(STREAM, TASK)
    assert again is not None
    assert again >= looked


def test_an_owner_that_was_replaced_notes_and_ends_nothing(
    records: MaintenanceLedger, ledger: Ledger, claim: Claim
) -> None:
    made = rewrite()
    ledger.begin(claim, made, trigger())
    ledger.claim(STREAM, claim.owner, TTL)
    with pytest.raises(FencedError):
        records.note(claim, TASK)
    with pytest.raises(FencedError):
        records.abandon(claim)
    assert records.looked(STREAM, TASK)[0] is None
    assert {one.status for one in ledger.batches(STREAM, 10)} == {BatchStatus.WRITING}


def test_what_former_owners_have_begun_is_ended_and_nothing_else(
    records: MaintenanceLedger, ledger: Ledger, claim: Claim
) -> None:
    ledger.begin(claim, rewrite(), trigger())
    ledger.begin(claim, batch(), trigger())
    assert records.abandon(claim) == 0
    heir = ledger.claim(STREAM, claim.owner, TTL)
    own = rewrite()
    ledger.begin(heir, own, trigger())
    assert records.abandon(heir) == 1
    found = {(one.kind, one.status) for one in ledger.batches(STREAM, 10) if one.batch_id != own.id}
    assert found == {(BatchKind.MAINTENANCE, BatchStatus.FAILED), (BatchKind.WINDOW, BatchStatus.WRITING)}
    assert records.abandon(heir) == 0


def test_a_rewrite_is_recorded_and_moves_nothing(ledger: Ledger, publish: Publish, claim: Claim) -> None:
    publish(publication(claim, batch()))
    before, done = current(ledger), ledger.windows(STREAM, window())
    made = rewrite()
    ledger.begin(replace(claim, record=before), made, trigger())
    publish(publication(replace(claim, record=before), made))
    assert current(ledger).position == before.position
    assert ledger.windows(STREAM, window()) == done
    recorded = ledger.resolve(STREAM, made.id)
    assert recorded is not None
    assert (recorded.kind, recorded.status, recorded.rows) == (BatchKind.MAINTENANCE, BatchStatus.PUBLISHED, 10)
    with pytest.raises(UnknownCommitError):
        publish(publication(claim, made))


def test_a_rewrite_of_another_generation_or_epoch_is_refused(ledger: Ledger, publish: Publish, claim: Claim) -> None:
    publish(publication(claim, batch()))
    with pytest.raises(StaleDifferenceError):
        publish(publication(claim, rewrite(generation=2)))
    ledger.claim(STREAM, claim.owner, TTL)
    with pytest.raises(FencedError):
        publish(publication(claim, rewrite()))


# ---------------------------------------------------------------------------------------------- catalogs


@pytest.fixture
def owned(tier: ColdTier) -> Claim:
    return tier.begin()


def rewriting(tier: ColdTier, claim: Claim, steps: list[Step], *, removed: tuple[str, ...] = ()) -> Publication:
    """A rewrite of the files of published batches, written and begun, up to the publish."""
    target, record = tier.target(), tier.ledger.read([tier.stream.name])[tier.stream.name]
    assert target.snapshot_id is not None
    span = Window(lower=steps[0].publication.batch.window.lower, upper=steps[-1].publication.batch.window.upper)
    paths = (*(step.file.path for step in steps), *removed)
    count = sum(step.file.fingerprint.rows for step in steps)
    schema = Schema(*target.schema.fields).model_dump_json(exclude={"schema_id"})
    unit = Rewriting(paths=paths, deletes=(), schema=schema, rows=count)
    made = Batch(
        id=uuid4(),
        stream=tier.stream.name,
        kind=BatchKind.MAINTENANCE,
        window=span,
        generation=record.generation,
        units=(Unit(index=0, window=span, rows=count, rewriting=unit),),
        rewrite=Rewrite(
            files=tuple(RewrittenFile(path=path) for path in paths), snapshot_id=target.snapshot_id, sequence=1
        ),
    )
    tier.ledger.begin(claim, made, TRIGGER)
    file = replace(tier.put_rows(target, made, rows_of(span, count)), kept=True)
    tier.ledger.stage(claim, made.id, f"{target.location}/data/{made.id}", [file])
    return Publication(
        claim=replace(claim, record=record), stream=tier.stream, batch=made, trigger=TRIGGER, files=[file], outbox=[]
    )


def offloaded(tier: ColdTier, claim: Claim, count: int) -> list[Step]:
    steps = []
    for _ in range(count):
        steps.append(tier.write(claim))
        tier.catalog.publish(steps[-1].publication)
    return steps


def test_files_take_the_place_of_others_and_the_table_proves_what_it_proved(tier: ColdTier, owned: Claim) -> None:
    first, second, third = offloaded(tier, owned, 3)
    before, record = tier.target(), tier.ledger.read([tier.stream.name])[tier.stream.name]
    made = rewriting(tier, owned, [first, second])
    snapshot_id = tier.catalog.publish(made)
    after = tier.target()
    live = tier.catalog.data_files(tier.stream.target, tier.stream.partition_by, None)
    assert sorted(live) == sorted([made.files[0].path, third.file.path])
    assert after.snapshot_id == snapshot_id
    assert after.evidence is not None
    assert before.evidence is not None
    assert (after.evidence.upper, after.evidence.batch_id) == (before.evidence.upper, before.evidence.batch_id)
    assert tier.ledger.read([tier.stream.name])[tier.stream.name].position == record.position
    tier.publish(owned)
    # A rollback below it changes no row, and so is none to the ledger.
    assert before.snapshot_id is not None


def test_evidence_is_carried_on_where_everything_below_has_expired(tier: ColdTier, owned: Claim) -> None:
    steps = offloaded(tier, owned, 2)
    tier.catalog.publish(rewriting(tier, owned, steps))
    tier.expire(1)
    proved = tier.target().evidence
    assert proved is not None
    assert proved.batch_id == steps[1].publication.batch.id
    assert steps[1].publication.batch.id in tier.target().lineage.batch_ids
    tier.publish(owned)


def test_a_rollback_below_a_rewrite_is_no_divergence(tier: ColdTier, owned: Claim) -> None:
    steps = offloaded(tier, owned, 2)
    before = tier.target()
    tier.catalog.publish(rewriting(tier, owned, steps))
    assert before.snapshot_id is not None
    tier.roll_back(before.snapshot_id)
    tier.publish(owned)
    live = tier.catalog.data_files(tier.stream.target, tier.stream.partition_by, None)
    assert {step.file.path for step in steps} < set(live)


def test_a_rewrite_of_a_file_that_is_not_live_any_more_is_looked_at_again(tier: ColdTier, owned: Claim) -> None:
    steps = offloaded(tier, owned, 2)
    before = tier.target().snapshot_id
    made = rewriting(tier, owned, steps, removed=("s3://lake/gone",))
    with pytest.raises(StaleDifferenceError, match="s3://lake/gone"):
        tier.catalog.publish(made)
    assert tier.target().snapshot_id == before


def test_a_zombie_rewrites_nothing(tier: ColdTier, owned: Claim) -> None:
    steps = offloaded(tier, owned, 2)
    made = rewriting(tier, owned, steps)
    before = tier.target().snapshot_id
    tier.ledger.claim(tier.stream.name, "one", timedelta(minutes=10))
    with pytest.raises(FencedError):
        tier.catalog.publish(made)
    assert tier.target().snapshot_id == before


@pytest.mark.parametrize("tier", ["iceberg", "rest"], indirect=True)
def test_the_snapshot_says_that_it_has_moved_rows_only_and_keeps_their_sequence(tier: ColdTier, owned: Claim) -> None:
    assert isinstance(tier, IcebergColdTier)
    steps = offloaded(tier, owned, 2)
    made = rewriting(tier, owned, steps)
    tier.catalog.publish(made)
    snapshot = tier.table().current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    summary = snapshot.summary.additional_properties
    assert snapshot.summary.operation.value == "replace"
    assert summary["icehaul.maintenance-id"] == str(made.batch.id)
    assert summary["icehaul.batch-id"] == str(steps[1].publication.batch.id)
    assert summary["icehaul.kind"] == "maintenance"
    assert (summary["total-data-files"], summary["total-records"]) == ("1", "6")
    entries = [
        entry for manifest in snapshot.manifests(tier.table().io) for entry in manifest.fetch_manifest_entry(tier.io)
    ]
    assert [(entry.sequence_number, entry.snapshot_id) for entry in entries] == [(1, snapshot.snapshot_id)]
    found = tier.catalog.snapshot(tier.stream, snapshot.snapshot_id)
    assert found is not None
    assert found.origin is not None
    assert (found.origin.batch_id, found.origin.kind) == (made.batch.id, BatchKind.MAINTENANCE)
    assert tier.table().scan().count() == 6
