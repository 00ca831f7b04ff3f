"""What every catalog keeps to: the real one on Postgres and S3, and the one in memory."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
from pyiceberg.schema import Schema
from pyiceberg.types import ListType, LongType, StringType, TimestamptzType

from consumer.domain.errors import (
    CheckFailedError,
    DivergenceError,
    FencedError,
    SchemaMovedError,
    StaleDifferenceError,
    TargetMismatchError,
    TargetMissingError,
    UnknownCommitError,
)
from consumer.domain.evolution import Evolution
from consumer.domain.mapping import TableMapping
from consumer.domain.schema_history import KnownColumn, SchemaEra, SchemaHistory
from consumer.domain.stream import TableName
from consumer.domain.window import PartitionBy, Window
from consumer.ports import Claim
from tests.support.cold_tier import HOUR, MAPPING, START, TTL, ColdTier, Step, column, rows_of


@pytest.fixture
def claim(tier: ColdTier) -> Claim:
    return tier.begin()


def with_column(position: int, changed: object) -> TableMapping:
    columns = list(MAPPING.columns)
    columns[position] = changed  # type: ignore[call-overload]
    return TableMapping(columns=tuple(columns))


# ---------------------------------------------------------------------------------------------- ensure


def test_a_missing_target_is_created_and_found_again(tier: ColdTier) -> None:
    created = tier.catalog.ensure(tier.stream, MAPPING, expected_uuid=None)
    found = tier.catalog.ensure(tier.stream, MAPPING, expected_uuid=created.uuid)
    assert (created.snapshot_id, created.evidence) == (None, None)
    assert found == created
    assert [field.name for field in created.schema.fields] == ["ts", "id", "note", "tags"]
    numbers = [field.field_id for field in created.schema.fields]
    element = created.schema.find_field("tags.element").field_id
    assert len({*numbers, element}) == 5


def test_a_missing_target_that_may_not_be_created_is_named(tier: ColdTier) -> None:
    with pytest.raises(TargetMissingError, match=str(tier.stream.target)):
        tier.catalog.ensure(replace(tier.stream, create_target=False), MAPPING, expected_uuid=None)


def test_columns_may_stand_in_another_order(tier: ColdTier, claim: Claim) -> None:
    shuffled = TableMapping(columns=tuple(reversed(MAPPING.columns)))
    assert tier.catalog.ensure(tier.stream, shuffled, expected_uuid=None) == tier.target()


@pytest.mark.parametrize(
    ("mapping", "named"),
    [
        (with_column(1, column("id", StringType(), required=True)), r"at id: it is long, expected is string"),
        (with_column(2, column("note", StringType(), required=True)), r"note: it is optional string.*required string"),
        (with_column(2, column("memo", StringType())), r"memo: it is missing, expected is optional string"),
        (TableMapping(columns=MAPPING.columns[:3]), r"tags: it is optional list<string>, expected is no such column"),
        (
            with_column(3, column("tags", ListType(element_id=9, element_type=LongType(), element_required=False))),
            r"tags\.element: it is string, expected is long",
        ),
        (with_column(0, column("ts", TimestamptzType())), r"ts: it is required timestamptz.*optional timestamptz"),
    ],
)
def test_the_first_difference_of_the_schema_is_named(
    tier: ColdTier, claim: Claim, mapping: TableMapping, named: str
) -> None:
    with pytest.raises(TargetMismatchError, match=named) as raised:
        tier.catalog.ensure(tier.stream, mapping, expected_uuid=None)
    assert raised.value.remedy


def history_of(mapping: TableMapping) -> SchemaHistory:
    known = tuple(KnownColumn(name=one.name, type=one.source_type) for one in mapping.columns)
    return (SchemaEra(since=START, columns=known),)


WIDER = TableMapping(columns=(*MAPPING.columns, column("more", LongType(), required=True)))


def evolving(tier: ColdTier, claim: Claim) -> tuple[Step, Evolution]:
    """A batch that is written with one more column."""
    uuid = tier.target().uuid
    evolution = tier.catalog.ensure(tier.stream, WIDER, expected_uuid=uuid, history=history_of(MAPPING)).evolution
    assert evolution is not None
    step = tier.write(claim)
    return Step(publication=replace(step.publication, evolution=evolution)), evolution


def test_a_column_is_added_together_with_the_rows(tier: ColdTier, claim: Claim) -> None:
    before = tier.target().schema
    step, evolution = evolving(tier, claim)
    assert evolution.changes == ("more: added as long",)
    assert tier.target().schema == before, "nothing has changed yet"
    tier.catalog.publish(step.publication)
    assert tier.target().schema.as_struct() == evolution.schema.as_struct()
    again = tier.catalog.ensure(
        tier.stream, WIDER, expected_uuid=tier.target().uuid, history=history_of(WIDER)
    ).evolution
    assert again is not None
    assert not again.pending


def test_a_refused_publish_leaves_the_columns_as_they_were(tier: ColdTier, claim: Claim) -> None:
    before = tier.target().schema
    step, _ = evolving(tier, claim)
    tier.ledger.release(claim)
    tier.ledger.claim(claim.stream, "heir", TTL)
    with pytest.raises(FencedError):
        tier.catalog.publish(step.publication)
    assert tier.target().schema == before


def test_files_for_other_columns_than_the_targets_are_refused(tier: ColdTier, claim: Claim) -> None:
    step, evolution = evolving(tier, claim)
    stale = replace(evolution, base=evolution.schema, schema=Schema(*evolution.base.fields[:-1]))
    with pytest.raises(SchemaMovedError):
        tier.catalog.publish(replace(step.publication, evolution=stale))


def test_another_partition_spec_is_refused(tier: ColdTier, claim: Claim) -> None:
    with pytest.raises(TargetMismatchError, match="partition spec"):
        tier.catalog.ensure(replace(tier.stream, partition_by=PartitionBy.HOUR), MAPPING, expected_uuid=None)


def test_a_table_belongs_to_one_stream(tier: ColdTier, claim: Claim) -> None:
    with pytest.raises(TargetMismatchError, match="belongs to the stream 'trades'"):
        tier.catalog.ensure(replace(tier.stream, name="other"), MAPPING, expected_uuid=None)


def test_a_dropped_target_is_not_created_again_behind_the_ledgers_back(tier: ColdTier, claim: Claim) -> None:
    uuid = tier.target().uuid
    tier.drop()
    with pytest.raises(DivergenceError, match="not in the catalog any more") as raised:
        tier.catalog.ensure(tier.stream, MAPPING, expected_uuid=uuid)
    assert "icehaul resume trades" in raised.value.remedy
    assert tier.catalog.inspect(tier.stream.target) is None


def test_a_recreated_target_is_not_taken_for_the_old_one(tier: ColdTier, claim: Claim) -> None:
    uuid = tier.target().uuid
    tier.drop()
    tier.catalog.ensure(tier.stream, MAPPING, expected_uuid=None)
    with pytest.raises(DivergenceError, match="another one now"):
        tier.catalog.ensure(tier.stream, MAPPING, expected_uuid=uuid)


# ---------------------------------------------------------------------------------------------- publish


def test_a_published_batch_is_evidence_and_advances_the_ledger(tier: ColdTier, claim: Claim) -> None:
    step = tier.write(claim)
    tier.catalog.check(tier.target(), tier.stream, [step.file])
    snapshot_id = tier.catalog.publish(step.publication)
    target, record = tier.target(), tier.ledger.read(["trades"])["trades"]
    assert target.snapshot_id == snapshot_id
    assert target.evidence is not None
    assert target.evidence.upper == record.last_upper == record.watermark == START + HOUR
    assert target.evidence.batch_id == step.publication.batch.id
    assert (target.evidence.generation, target.evidence.snapshot_id) == (1, snapshot_id)
    assert tier.catalog.data_files(tier.stream.target, PartitionBy.DAY, None) == [step.file.path]


def test_batches_follow_each_other_under_one_claim(tier: ColdTier, claim: Claim) -> None:
    ids = [tier.publish(claim) for _ in range(4)]
    assert len(set(ids)) == 4
    assert tier.ledger.read(["trades"])["trades"].watermark == START + 4 * HOUR
    assert len(tier.catalog.data_files(tier.stream.target, PartitionBy.DAY, None)) == 4


def test_data_files_of_a_window_are_those_that_may_hold_its_rows(tier: ColdTier, claim: Claim) -> None:
    for _ in range(4):
        tier.publish(claim)
    every = tier.catalog.data_files(tier.stream.target, PartitionBy.DAY, None)
    second = Window(lower=START + HOUR, upper=START + 2 * HOUR)
    assert len(tier.catalog.data_files(tier.stream.target, PartitionBy.DAY, second)) == 1
    assert set(tier.catalog.data_files(tier.stream.target, PartitionBy.DAY, second)) < set(every)
    nowhere = Window(lower=START + 40 * HOUR, upper=START + 41 * HOUR)
    assert tier.catalog.data_files(tier.stream.target, PartitionBy.DAY, nowhere) == []


def test_data_files_of_a_missing_table_are_an_error(tier: ColdTier) -> None:
    with pytest.raises(TargetMissingError, match=r"bronze\.nothing"):
        tier.catalog.data_files(TableName.parse("bronze.nothing"), PartitionBy.DAY, None)


def test_empty_windows_before_between_and_after_raise_no_alarm(tier: ColdTier, claim: Claim) -> None:
    tier.skip(claim, START + HOUR)
    tier.publish(claim)
    tier.skip(claim, START + 5 * HOUR)
    tier.publish(claim)
    tier.skip(claim, START + 30 * HOUR)
    tier.publish(claim)
    evidence = tier.target().evidence
    assert evidence is not None
    assert evidence.upper == START + 31 * HOUR
    assert len(tier.catalog.data_files(tier.stream.target, PartitionBy.DAY, None)) == 3


def test_a_batch_that_is_published_already_has_to_be_read_back(tier: ColdTier, claim: Claim) -> None:
    step = tier.write(claim)
    snapshot_id = tier.catalog.publish(step.publication)
    with pytest.raises(UnknownCommitError):
        tier.catalog.publish(step.publication)
    found = tier.ledger.resolve("trades", step.publication.batch.id)
    assert found is not None
    assert found.snapshot_id == snapshot_id == tier.target().snapshot_id


def test_a_zombie_is_fenced_and_leaves_no_trace(tier: ColdTier, claim: Claim) -> None:
    step = tier.write(claim)
    tier.ledger.claim("trades", claim.owner, HOUR)
    with pytest.raises(FencedError):
        tier.catalog.publish(step.publication)
    assert tier.target().snapshot_id is None
    assert tier.ledger.read(["trades"])["trades"].watermark == START


def test_of_two_owners_with_the_same_batch_one_wins_and_the_other_is_fenced(tier: ColdTier, claim: Claim) -> None:
    first = tier.write(claim)
    tier.ledger.release(claim)
    newer = tier.ledger.claim("trades", "two", HOUR)
    second = tier.write(newer)
    assert first.publication.batch.id == second.publication.batch.id
    tier.catalog.publish(second.publication)
    with pytest.raises(FencedError):
        tier.catalog.publish(first.publication)
    assert tier.catalog.data_files(tier.stream.target, PartitionBy.DAY, None) == [second.file.path]


def test_a_window_that_does_not_begin_at_the_watermark_is_a_divergence(tier: ColdTier, claim: Claim) -> None:
    step = tier.write(claim)
    gap = tier.plan(Window(lower=START + HOUR, upper=START + 2 * HOUR))
    file = tier.put_rows(tier.target(), gap, rows_of(gap.window, 3))
    with pytest.raises(DivergenceError, match="watermark"):
        tier.catalog.publish(replace(step.publication, batch=gap, files=[file]))
    assert tier.target().snapshot_id is None


# ---------------------------------------------------------------------------------------------- divergence


def test_a_table_rolled_back_by_hand_stops_the_next_publish(tier: ColdTier, claim: Claim) -> None:
    first = tier.publish(claim)
    tier.publish(claim)
    tier.roll_back(first)
    evidence = tier.target().evidence
    assert evidence is not None
    assert evidence.snapshot_id == first
    step = tier.write(claim)
    with pytest.raises(DivergenceError, match="current snapshot proves rows up to 2024-01-01T01"):
        tier.catalog.publish(step.publication)
    assert tier.target().snapshot_id == first
    assert tier.ledger.read(["trades"])["trades"].watermark == START + 2 * HOUR


def test_a_rollback_stays_visible_under_snapshots_of_other_engines(tier: ColdTier, claim: Claim) -> None:
    first = tier.publish(claim)
    tier.publish(claim)
    tier.roll_back(first)
    tier.add_foreign()
    with pytest.raises(DivergenceError):
        tier.publish(claim)


def test_a_dropped_or_recreated_table_stops_the_next_publish(tier: ColdTier, claim: Claim) -> None:
    tier.publish(claim)
    step = tier.write(claim)
    tier.drop()
    with pytest.raises(DivergenceError, match="not in the catalog any more"):
        tier.catalog.publish(step.publication)
    tier.catalog.ensure(tier.stream, MAPPING, expected_uuid=None)
    with pytest.raises(DivergenceError, match="another one now"):
        tier.catalog.publish(step.publication)


def test_evidence_is_found_below_snapshots_of_other_engines(tier: ColdTier, claim: Claim) -> None:
    ours = tier.publish(claim)
    foreign = tier.add_foreign()
    target = tier.target()
    assert target.snapshot_id == foreign
    assert target.evidence is not None
    assert target.evidence.snapshot_id == ours
    tier.publish(claim)


def test_a_table_that_others_have_written_to_before_may_be_taken_over(tier: ColdTier, claim: Claim) -> None:
    tier.add_foreign()
    assert tier.target().evidence is None
    tier.publish(claim)


def test_properties_speak_where_expiry_has_hidden_the_evidence(tier: ColdTier, claim: Claim) -> None:
    ours = tier.publish(claim)
    tier.add_foreign()
    tier.expire(1)
    evidence = tier.target().evidence
    assert evidence is not None
    assert (evidence.snapshot_id, evidence.upper) == (ours, START + HOUR)
    tier.publish(claim)


def test_properties_prove_nothing_after_a_rollback_that_expiry_has_hidden(tier: ColdTier, claim: Claim) -> None:
    first = tier.publish(claim)
    tier.publish(claim)
    tier.roll_back(first)
    tier.add_foreign()
    tier.expire(1)
    assert tier.target().evidence is None
    with pytest.raises(DivergenceError, match="proves nothing"):
        tier.publish(claim)


def test_properties_prove_nothing_where_what_they_name_was_rolled_back_and_its_window_has_other_rows(
    tier: ColdTier, claim: Claim
) -> None:
    former = tier.write(claim)
    tier.catalog.publish(former.publication)
    foreign = tier.add_foreign()
    tier.expire(1)
    step = tier.replace(claim, former, rows=2, removed=[former.file.path])
    tier.catalog.publish(step.publication)
    tier.roll_back(foreign)
    assert former.file.path in tier.catalog.data_files(tier.stream.target, tier.stream.partition_by, None)
    assert tier.target().evidence is None
    with pytest.raises(DivergenceError, match="proves nothing"):
        tier.publish(claim)


def test_after_merges_and_expiries_each_file_is_listed_once_and_each_batch_is_known(tier: ColdTier) -> None:
    tier.stream = replace(tier.stream, retain_snapshots=3)
    claim = tier.begin()
    publications = [tier.write(claim).publication]
    tier.catalog.publish(publications[0])
    # So many that manifests are merged, and the first snapshots have gone.
    for _ in range(12):
        publications.append(tier.write(claim).publication)
        tier.catalog.publish(publications[-1])
    paths = tier.catalog.data_files(tier.stream.target, tier.stream.partition_by, None)
    assert sorted(paths) == sorted(file.path for each in publications for file in each.files)
    target = tier.target()
    assert target.evidence is not None
    assert target.evidence.batch_id == publications[-1].batch.id
    assert target.lineage.batch_ids == {each.batch.id for each in publications[-3:]}
    assert not target.lineage.whole
    with pytest.raises(UnknownCommitError):
        tier.catalog.publish(publications[0])


def test_nothing_is_inspected_where_no_table_is(tier: ColdTier) -> None:
    assert tier.catalog.inspect(TableName.parse("bronze.nothing")) is None


def test_a_file_that_is_not_on_the_store_fails_the_check(tier: ColdTier, claim: Claim) -> None:
    file = replace(tier.write(claim).file, path=f"{tier.target().location}/data/{uuid4()}.parquet")
    with pytest.raises(CheckFailedError, match=r"\.parquet"):
        tier.catalog.check(tier.target(), tier.stream, [file])


def test_a_file_of_another_size_or_row_count_fails_the_check(tier: ColdTier, claim: Claim) -> None:
    file = tier.write(claim).file
    for wrong in (
        replace(file, bytes=file.bytes + 1),
        replace(file, fingerprint=replace(file.fingerprint, rows=file.fingerprint.rows + 1)),
    ):
        with pytest.raises(CheckFailedError, match=r"\.parquet"):
            tier.catalog.check(tier.target(), tier.stream, [wrong])


# ------------------------------------------------------------------------------------------ replacements


@pytest.mark.parametrize("rows", [0, 2])
def test_a_replacement_removes_files_and_adds_others_in_one_snapshot(tier: ColdTier, claim: Claim, rows: int) -> None:
    former = tier.write(claim)
    tier.catalog.publish(former.publication)
    other = tier.write(claim)
    tier.catalog.publish(other.publication)
    before = tier.target()
    step = tier.replace(claim, former, rows=rows, removed=[former.file.path])
    snapshot_id = tier.catalog.publish(step.publication)
    after = tier.target()
    assert after.snapshot_id == snapshot_id
    assert after.evidence is not None
    assert before.evidence is not None
    assert (after.evidence.upper, after.evidence.batch_id) == (before.evidence.upper, step.publication.batch.id)
    live = tier.catalog.data_files(tier.stream.target, tier.stream.partition_by, None)
    assert sorted(live) == sorted([other.file.path, *(file.path for file in step.publication.files)])
    (first, _) = tier.ledger.windows(tier.stream.name, Window(lower=START, upper=START + 2 * HOUR))
    assert (first.cold.rows, first.revision) == (rows, 1)
    tier.publish(claim)


def test_a_replacement_of_a_file_that_is_not_live_any_more_is_looked_at_again(tier: ColdTier, claim: Claim) -> None:
    former = tier.write(claim)
    tier.catalog.publish(former.publication)
    step = tier.replace(claim, former, rows=2, removed=[former.file.path, f"{former.file.path}-gone"])
    with pytest.raises(StaleDifferenceError, match=r"-gone, which holds rows .* is not live"):
        tier.catalog.publish(step.publication)
    live = tier.catalog.data_files(tier.stream.target, tier.stream.partition_by, None)
    assert list(live) == [former.file.path]


def test_a_replacement_is_fenced_and_refused_where_the_window_has_changed(tier: ColdTier, claim: Claim) -> None:
    former = tier.write(claim)
    tier.catalog.publish(former.publication)
    step = tier.replace(claim, former, rows=2, removed=[former.file.path])
    another = replace(step.publication.batch, base=replace(former.file.fingerprint, rows=9))
    stale = replace(step.publication, batch=another)
    with pytest.raises(StaleDifferenceError, match="another content"):
        tier.catalog.publish(stale)
    tier.ledger.claim(tier.stream.name, "one", TTL)
    with pytest.raises(FencedError):
        tier.catalog.publish(step.publication)
