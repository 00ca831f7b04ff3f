"""What an audit is told of files, by the real adapters and by those in memory."""

from __future__ import annotations

from typing import cast

import pytest
from pyiceberg.table.statistics import StatisticsFile

from consumer.adapters.iceberg.census import IcebergFiles
from consumer.adapters.postgres.attempts import PostgresAttempts
from consumer.domain.audit import Census, RecordedAttempt, RecordedFile
from consumer.domain.batch import BatchStatus
from consumer.domain.stream import TableName
from consumer.embedded.stack import EmbeddedStack
from consumer.ports import Claim
from consumer.service.audit.ports import AttemptRecords, TableFiles
from consumer.settings.connections import CatalogSettings
from consumer.testing.files import MemoryFiles
from consumer.testing.ledger import MemoryLedger
from tests.support.cold_tier import ColdTier, IcebergColdTier, MemoryColdTier, Step, iceberg_cold_tier


@pytest.fixture
def files(tier: ColdTier) -> TableFiles:
    if isinstance(tier, MemoryColdTier):
        return MemoryFiles(tier.memory, tier.files)
    real = cast("IcebergColdTier", tier)
    return IcebergFiles(database=real.database, catalog=real.settings, store=real.store)


@pytest.fixture
def attempts(tier: ColdTier) -> AttemptRecords:
    if isinstance(tier, MemoryColdTier):
        return cast("MemoryLedger", tier.ledger).recorded
    return PostgresAttempts(cast("IcebergColdTier", tier).database)


@pytest.fixture
def claim(tier: ColdTier) -> Claim:
    return tier.begin()


@pytest.fixture
def steps(tier: ColdTier, claim: Claim) -> list[Step]:
    """Two published batches."""
    made = []
    for rows in (3, 5):
        step = tier.write(claim, rows=rows)
        tier.catalog.publish(step.publication)
        made.append(step)
    return made


def counted(tier: ColdTier, files: TableFiles) -> Census:
    found = files.census(tier.stream.target)
    assert found is not None
    return found


def test_a_table_that_there_is_not_has_no_census(files: TableFiles) -> None:
    assert files.census(TableName.parse("bronze.nothing")) is None


def test_a_table_without_a_snapshot_has_no_files(tier: ColdTier, files: TableFiles, claim: Claim) -> None:
    found = counted(tier, files)
    assert (found.snapshot_id, list(found.live), dict(found.referenced)) == (None, [], {})


def test_live_files_are_told_with_their_rows_and_in_the_order_in_which_they_came(
    tier: ColdTier, files: TableFiles, steps: list[Step]
) -> None:
    found = counted(tier, files)
    assert found.snapshot_id == tier.target().snapshot_id
    live = sorted(found.live, key=lambda file: file.sequence)
    assert [(file.path, file.rows, file.bytes) for file in live] == [
        (step.file.path, step.file.fingerprint.rows, step.file.bytes) for step in steps
    ]
    assert [file.snapshot_id for file in live] == list(found.operations)
    assert set(found.operations.values()) == {"append"}


def test_what_retained_snapshots_refer_to_is_on_the_store_in_its_size(
    tier: ColdTier, files: TableFiles, steps: list[Step]
) -> None:
    found = counted(tier, files)
    there = {file.path: file.bytes for file in files.stored(tier.target().location)}
    assert set(found.referenced) | found.metadata >= set(there)
    assert {path for path in found.referenced if path not in there} == set()
    assert all(size in {None, there[path]} for path, size in found.referenced.items())
    assert all(found.referenced[step.file.path] == step.file.bytes for step in steps)


def test_after_a_rollback_files_are_referred_to_and_not_live(
    tier: ColdTier, files: TableFiles, steps: list[Step]
) -> None:
    tier.roll_back(min(counted(tier, files).live, key=lambda file: file.sequence).snapshot_id or 0)
    found = counted(tier, files)
    assert [file.path for file in found.live] == [steps[0].file.path]
    assert steps[1].file.path in found.referenced


def test_after_an_expiry_the_live_files_are_the_same(tier: ColdTier, files: TableFiles, steps: list[Step]) -> None:
    tier.expire(1)
    found = counted(tier, files)
    assert {file.path for file in found.live} == {step.file.path for step in steps}
    assert len(found.operations) == 1


def test_statistics_are_referred_to_as_well(stack: EmbeddedStack) -> None:
    with iceberg_cold_tier(stack.endpoints) as tier:
        tier.publish(tier.begin())
        path = f"{tier.target().location}/metadata/rows.stats"
        tier.put(path, b"12345")
        statistics = StatisticsFile.model_validate(
            {
                "snapshot-id": tier.target().snapshot_id,
                "statistics-path": path,
                "file-size-in-bytes": 5,
                "file-footer-size-in-bytes": 1,
                "blob-metadata": [],
            }
        )
        tier.table().update_statistics().set_statistics(statistics).commit()
        files = IcebergFiles(database=tier.database, catalog=CatalogSettings(), store=tier.store)
        assert counted(tier, files).referenced[path] == 5


def test_single_files_are_looked_at_one_by_one(tier: ColdTier, files: TableFiles, steps: list[Step]) -> None:
    first = steps[0].file
    assert files.sizes([first.path, f"{first.path.removesuffix('.parquet')}-not.parquet"]) == {first.path: first.bytes}
    assert files.sizes([]) == {}


def test_a_place_where_nothing_is_has_no_files(files: TableFiles) -> None:
    assert files.stored("s3://icehaul/tests/nothing-is-here") == []


def test_the_ledger_knows_every_file_and_its_batch(
    tier: ColdTier, attempts: AttemptRecords, claim: Claim, steps: list[Step]
) -> None:
    writing = tier.write(claim)
    states = [(step, BatchStatus.PUBLISHED) for step in steps] + [(writing, BatchStatus.WRITING)]
    assert list(attempts.files(claim.stream)) == [
        RecordedFile(
            path=step.file.path,
            batch_id=step.publication.batch.id,
            bytes=step.file.bytes,
            fingerprint=step.file.fingerprint,
            status=status,
            published=step.file.fingerprint if status is BatchStatus.PUBLISHED else None,
        )
        for step, status in states
    ]
    location = tier.target().location
    found = list(attempts.attempts(claim.stream))
    assert found == [
        RecordedAttempt(
            prefix=f"{location}/data/{step.publication.batch.id}", batch_id=step.publication.batch.id, status=status
        )
        for step, status in states
    ]
    assert [one.under_way for one in found] == [False, False, True]
    assert list(attempts.files("other")) == []
    assert list(attempts.attempts("other")) == []
