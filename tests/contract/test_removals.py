"""What the removal of files asks of ledger, catalog and store: the real ones, and those in memory."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import cast

import psycopg
import pytest

from consumer.adapters.iceberg.census import IcebergFiles
from consumer.adapters.iceberg.metadata_files import write_next
from consumer.adapters.iceberg.remover import IcebergRemover
from consumer.adapters.iceberg.staging import StagedCommit
from consumer.adapters.postgres.removals import PostgresRemovals
from consumer.domain.audit import Census, StoredFile
from consumer.domain.batch import BatchStatus
from consumer.domain.errors import FencedError, StoreUnavailableError, TargetMismatchError
from consumer.domain.stream import TableName
from consumer.embedded.stack import EmbeddedStack
from consumer.ports import Claim
from consumer.service.audit.ports import TableFiles
from consumer.service.maintaining.removal_ports import RemovalLedger, Remover
from consumer.testing.files import MemoryFiles
from consumer.testing.ledger import MemoryLedger
from consumer.testing.removals import MemoryRemovals, MemoryRemover
from tests.support.cold_tier import TTL, ColdTier, IcebergColdTier, MemoryColdTier, iceberg_cold_tier

ONE, OTHER = (StoredFile(path=f"s3://icehaul/{name}", bytes=number, modified=None) for number, name in enumerate("ab"))


@pytest.fixture
def files(tier: ColdTier) -> Iterator[TableFiles]:
    if isinstance(tier, MemoryColdTier):
        yield MemoryFiles(tier.memory, tier.files)
        return
    with closing(files_of(cast("IcebergColdTier", tier))) as real:
        yield real


def files_of(tier: IcebergColdTier) -> IcebergFiles:
    return IcebergFiles(database=tier.database, catalog=tier.settings, store=tier.store)


@pytest.fixture
def remover(tier: ColdTier) -> Iterator[Remover]:
    if isinstance(tier, MemoryColdTier):
        yield MemoryRemover(tier.memory, tier.files)
        return
    with closing(remover_of(cast("IcebergColdTier", tier))) as real:
        yield real


def remover_of(tier: IcebergColdTier) -> IcebergRemover:
    return IcebergRemover(database=tier.database, catalog=tier.settings, store=tier.store)


@pytest.fixture
def removals(tier: ColdTier) -> RemovalLedger:
    if isinstance(tier, MemoryColdTier):
        ledger = cast("MemoryLedger", tier.ledger)
        return MemoryRemovals(ledger, ledger._now)
    return PostgresRemovals(cast("IcebergColdTier", tier).database)


@pytest.fixture
def claim(tier: ColdTier) -> Claim:
    return tier.begin()


@pytest.fixture
def real(stack: EmbeddedStack) -> Iterator[IcebergColdTier]:
    """The real tier, where a test is about metadata files."""
    with iceberg_cold_tier(stack.endpoints) as made:
        yield made


# ----------------------------------------------------------------------------------------- the catalog's pointer


def test_the_pointer_is_the_metadata_that_the_census_was_taken_of_and_moves_with_every_commit(
    tier: ColdTier, files: TableFiles, remover: Remover, claim: Claim
) -> None:
    seen = set()
    for _ in range(2):
        tier.publish(claim)
        census = files.census(tier.stream.target)
        assert census is not None
        assert remover.pointer(tier.stream.target) == census.current
        seen.add(census.current)
    assert len(seen) == 2


def test_a_table_that_there_is_not_has_no_pointer(remover: Remover) -> None:
    assert remover.pointer(TableName.parse("bronze.nothing")) is None


# ----------------------------------------------------------------------------------------- deletion


def test_deleted_files_are_gone_and_deleting_them_again_is_no_error(
    tier: ColdTier, files: TableFiles, remover: Remover, claim: Claim
) -> None:
    gone, stays = tier.write(claim).file.path, tier.write(claim).file.path
    for _ in range(2):
        remover.remove([gone])
    assert set(files.sizes([gone, stays])) == {stays}
    remover.remove([])


def test_a_store_that_does_not_answer_is_told(real: IcebergColdTier) -> None:
    path = f"s3://{real.store.bucket}/nothing/of/it"
    away = real.store.model_copy(update={"endpoint": "http://127.0.0.1:9"})
    with (
        closing(IcebergRemover(database=real.database, catalog=real.settings, store=away)) as remover,
        pytest.raises(StoreUnavailableError, match="while deleting"),
    ):
        remover.remove([path])


# ----------------------------------------------------------------------------------------- the ledger's list


def test_a_file_is_listed_since_it_was_noted_first_until_it_is_gone(removals: RemovalLedger, claim: Claim) -> None:
    assert removals.found(claim.stream) == {}
    removals.note(claim, [ONE], [])
    first = removals.found(claim.stream)[ONE.path]
    removals.note(claim, [ONE, OTHER], [])
    found = removals.found(claim.stream)
    assert found[ONE.path] >= first
    assert found[ONE.path] >= found[OTHER.path] >= timedelta(0)
    removals.note(claim, [], [ONE.path])
    assert set(removals.found(claim.stream)) == {OTHER.path}
    assert removals.found("other") == {}


def test_an_owner_that_has_lost_the_lease_changes_nothing(
    tier: ColdTier, removals: RemovalLedger, claim: Claim
) -> None:
    removals.note(claim, [ONE], [])
    newer = tier.ledger.claim(claim.stream, claim.owner, TTL)
    for change in (
        lambda: removals.note(claim, [OTHER], []),
        lambda: removals.note(claim, [], [ONE.path]),
        lambda: removals.close_attempts(claim),
    ):
        with pytest.raises(FencedError):
            change()
    assert set(removals.found(claim.stream)) == {ONE.path}
    removals.note(newer, [], [ONE.path])


def test_batches_that_earlier_owners_have_left_are_closed_and_no_other(
    tier: ColdTier, removals: RemovalLedger, claim: Claim
) -> None:
    done = tier.write(claim)
    tier.catalog.publish(done.publication)
    left = tier.write(claim)
    assert removals.close_attempts(claim) == 0
    newer = tier.ledger.claim(claim.stream, claim.owner, TTL)
    assert removals.close_attempts(newer) == 1
    assert removals.close_attempts(newer) == 0
    statuses = {one.batch_id: one for one in tier.ledger.batches(claim.stream, 10)}
    assert statuses[left.publication.batch.id].status is BatchStatus.FAILED
    assert statuses[left.publication.batch.id].error
    assert statuses[done.publication.batch.id].status is BatchStatus.PUBLISHED
    # Whoever takes its window up begins it anew.
    again = tier.write(newer)
    assert again.publication.batch.id == left.publication.batch.id
    tier.catalog.publish(again.publication)


# ----------------------------------------------------------------------------------------- other metadata files


def counted(tier: IcebergColdTier) -> Census:
    with closing(files_of(tier)) as files:
        found = files.census(tier.stream.target, files.stored(tier.target().location))
    assert found is not None
    return found


def test_what_former_metadata_refers_to_is_held_as_long_as_it_is_listed(real: IcebergColdTier) -> None:
    claim = real.begin()
    for _ in range(3):
        real.publish(claim)
    before = counted(real)
    real.expire(1)
    census = counted(real)
    assert census.held >= before.referenced.keys() - census.referenced.keys()
    assert not census.held & census.referenced.keys()


def test_a_commit_that_stands_still_before_its_swap_is_held_with_all_that_it_refers_to(real: IcebergColdTier) -> None:
    claim = real.begin()
    real.publish(claim)
    base = real.catalog._bases.load(real.stream.target)
    assert base is not None
    commit = StagedCommit(base.table(real.io))
    commit.append_files([], {})
    staged = write_next(base, commit.result(), real.io)
    current = staged.metadata.current_snapshot()
    assert current is not None
    assert {staged.location, current.manifest_list} <= counted(real).held
    real.publish(claim)
    assert not {staged.location, current.manifest_list} & counted(real).held


def test_former_metadata_that_is_gone_is_no_trouble_and_what_can_not_be_read_is_told(real: IcebergColdTier) -> None:
    claim = real.begin()
    for _ in range(3):
        real.publish(claim)
    base = real.catalog._bases.load(real.stream.target)
    assert base is not None
    first, second = (entry.metadata_file for entry in base.metadata.metadata_log[:2])
    real.io.delete(first)
    real.put(second, b"no json")
    assert list(counted(real).doubtful) == [second]


# ----------------------------------------------------------------------------------------- tables in one place


def test_no_table_shares_the_place_of_one_that_has_it_for_itself(
    tier: ColdTier, remover: Remover, claim: Claim
) -> None:
    assert list(remover.sharing(tier.stream.target, tier.target().location)) == []


def test_a_table_that_was_renamed_still_lies_in_its_old_place(real: IcebergColdTier) -> None:
    real.publish(real.begin())
    location = real.target().location
    real.other.rename_table(("bronze", "trades"), ("bronze", "former"))
    real.catalog.ensure(real.stream, real.mapping, expected_uuid=None)
    with closing(remover_of(real)) as remover:
        assert list(remover.sharing(real.stream.target, location)) == ["bronze.former (catalog icehaul)"]


@pytest.mark.parametrize("property_", ["write.data.path", "write.metadata.path"])
def test_a_table_shares_a_place_where_a_property_sends_its_files(real: IcebergColdTier, property_: str) -> None:
    real.publish(real.begin())
    location = real.target().location
    sibling = real.sibling(replace(real.stream, name="other", target=TableName.parse("bronze.other")))
    sibling.catalog.ensure(sibling.stream, sibling.mapping, expected_uuid=None)
    with closing(remover_of(real)) as remover:
        assert list(remover.sharing(real.stream.target, location)) == []
        with sibling.table().transaction() as change:
            change.set_properties({property_: f"{location}/elsewhere"})
        assert list(remover.sharing(real.stream.target, location)) == ["bronze.other (catalog icehaul)"]


def test_metadata_of_other_tables_is_understood_compressed_and_of_newer_versions_or_refused(
    real: IcebergColdTier,
) -> None:
    real.publish(real.begin())
    location, name = real.target().location, "bronze.other (catalog icehaul)"
    path = f"s3://{real.store.bucket}/{real.store.prefix}/other/metadata/00001-a.gz.metadata.json"
    with psycopg.connect(real.dsn) as connection:
        connection.execute(
            "INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, iceberg_type)"
            " VALUES ('icehaul', 'bronze', 'other', %s, 'TABLE')",
            [path],
        )
    with closing(remover_of(real)) as remover:
        # Its file is gone: what the catalog says of it is all there is.
        assert list(remover.sharing(real.stream.target, location)) == []
        real.put(path, gzip.compress(json.dumps({"format-version": 9, "location": location}).encode()))
        assert list(remover.sharing(real.stream.target, location)) == [name]
        real.put(path, b"no json")
        with pytest.raises(TargetMismatchError, match=r"bronze\.other"):
            remover.sharing(real.stream.target, location)
