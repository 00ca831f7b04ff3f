"""Faults during a publish: every commit ends as landed, not landed or unknown, and the table holds each row once."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from consumer.adapters.iceberg.catalog import IcebergCatalog
from consumer.adapters.postgres.database import Database
from consumer.domain.batch import BatchStatus
from consumer.domain.errors import (
    AccessDeniedError,
    BaseMovedError,
    DivergenceError,
    FencedError,
    IcehaulError,
    LedgerUnavailableError,
    StoreUnavailableError,
    UnknownCommitError,
)
from consumer.domain.event_factory import tick
from consumer.domain.window import PartitionBy
from consumer.embedded.stack import EmbeddedStack
from consumer.ports import Claim, Publication
from consumer.settings.connections import CatalogSettings, PostgresSettings, StoreSettings
from tests.support.cold_tier import HOUR, MAPPING, START, IcebergColdTier, iceberg_cold_tier
from tests.support.interruptions import Interrupt
from tests.support.postgres_proxy import CommitFault, PostgresProxy
from tests.support.tcp_proxy import TcpProxy


@pytest.fixture
def tier(stack: EmbeddedStack) -> Iterator[IcebergColdTier]:
    with iceberg_cold_tier(stack.endpoints) as real:
        yield real


def interrupted(tier: IcebergColdTier, point: str, act: Callable[[], object]) -> IcebergCatalog:
    """A catalog on the same servers that is interrupted at a failpoint."""
    return IcebergCatalog(
        database=tier.database, catalog=CatalogSettings(), store=tier.store, failpoints=Interrupt(point, act)
    )


@contextmanager
def catalog_behind(tier: IcebergColdTier, proxy: PostgresProxy) -> Iterator[IcebergCatalog]:
    """A catalog whose connections to Postgres go through a proxy."""
    dsn = urlsplit(tier.dsn)
    behind = dsn._replace(netloc=f"{dsn.username}:{dsn.password}@127.0.0.1:{proxy.port}").geturl()
    with Database(PostgresSettings(dsn=SecretStr(f"{behind}?sslmode=disable"))) as database:
        yield IcebergCatalog(database=database, catalog=CatalogSettings(), store=tier.store)


@pytest.fixture
def proxy(stack: EmbeddedStack) -> Iterator[PostgresProxy]:
    with PostgresProxy(stack.endpoints.postgres.port) as running:
        yield running


def status(tier: IcebergColdTier, publication: Publication) -> BatchStatus:
    found = tier.ledger.resolve(publication.stream.name, publication.batch.id)
    assert found is not None
    return found.status


def settled(tier: IcebergColdTier, *, rows: int, batches: int) -> None:
    """The judge: every row once, one snapshot for each batch, and the watermark where the table's evidence is."""
    table, evidence = tier.table(), tier.target().evidence
    ids = [
        each.summary.additional_properties["icehaul.batch-id"]
        for each in table.snapshots()
        if each.summary is not None and "icehaul.batch-id" in each.summary.additional_properties
    ]
    record = tier.ledger.read([tier.stream.name])[tier.stream.name]
    assert table.scan().count() == rows
    assert len(ids) == len(set(ids)) == batches
    assert evidence is not None
    assert evidence.upper == record.last_upper == record.watermark
    unreferenced = set(tier.keys("metadata")) - referenced(tier)
    assert not unreferenced


def referenced(tier: IcebergColdTier) -> set[str]:
    table = tier.table()
    files = {table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)}
    for snapshot in table.snapshots():
        files.add(snapshot.manifest_list)
        files.update(manifest.manifest_path for manifest in snapshot.manifests(table.io))
    return files


# ---------------------------------------------------------------------------------------------- unknown commits


def test_a_lost_reply_to_a_commit_that_landed_is_unknown_and_read_back(
    tier: IcebergColdTier, proxy: PostgresProxy
) -> None:
    step = tier.write(tier.begin())
    with catalog_behind(tier, proxy) as catalog:
        catalog.inspect(tier.stream.target)
        proxy.strike(CommitFault.APPLIED, skip=1)
        with pytest.raises(UnknownCommitError):
            catalog.publish(step.publication)
        assert status(tier, step.publication) is BatchStatus.PUBLISHED
        with pytest.raises(UnknownCommitError, match="read back"):
            catalog.publish(step.publication)
    settled(tier, rows=3, batches=1)


def test_a_lost_reply_loses_no_event_for_a_dependant(tier: IcebergColdTier, proxy: PostgresProxy) -> None:
    wake = tick(stream="bars", boundary=START)
    publication = replace(tier.write(tier.begin()).publication, outbox=[wake])
    with catalog_behind(tier, proxy) as catalog:
        catalog.inspect(tier.stream.target)
        proxy.strike(CommitFault.APPLIED, skip=1)
        with pytest.raises(UnknownCommitError):
            catalog.publish(publication)
    assert [message.event for message in tier.ledger.outbox(10)] == [wake]


def test_a_lost_commit_is_unknown_and_a_retry_makes_one_snapshot(tier: IcebergColdTier, proxy: PostgresProxy) -> None:
    step = tier.write(tier.begin())
    with catalog_behind(tier, proxy) as catalog:
        catalog.inspect(tier.stream.target)
        proxy.strike(CommitFault.LOST, skip=1)
        with pytest.raises(UnknownCommitError):
            catalog.publish(step.publication)
        orphans = set(tier.keys("metadata")) - referenced(tier)
        assert len(orphans) == 3
        assert status(tier, step.publication) is BatchStatus.WRITING
        catalog.publish(step.publication)
    assert tier.table().scan().count() == 3
    assert len(tier.table().snapshots()) == 1
    assert set(tier.keys("metadata")) - referenced(tier) == orphans


def test_a_commit_that_arrives_late_is_waited_out_by_the_read_back(tier: IcebergColdTier, proxy: PostgresProxy) -> None:
    step = tier.write(tier.begin())
    with catalog_behind(tier, proxy) as catalog:
        catalog.inspect(tier.stream.target)
        proxy.strike(CommitFault.LATE, skip=1)
        with pytest.raises(UnknownCommitError):
            catalog.publish(step.publication)
        proxy.deliver()
        assert status(tier, step.publication) is BatchStatus.PUBLISHED
    settled(tier, rows=3, batches=1)


@pytest.mark.parametrize("carry", [True, False])
def test_after_a_lost_reply_a_compaction_on_top_survives_the_retry(
    tier: IcebergColdTier, proxy: PostgresProxy, carry: bool
) -> None:
    claim = tier.begin()
    step = tier.write(claim)
    with catalog_behind(tier, proxy) as catalog:
        catalog.inspect(tier.stream.target)
        proxy.strike(CommitFault.APPLIED, skip=1)
        with pytest.raises(UnknownCommitError):
            catalog.publish(step.publication)
    compacted = tier.compact(carry=carry)
    with pytest.raises(UnknownCommitError):
        tier.catalog.publish(step.publication)
    assert tier.target().snapshot_id == compacted
    assert status(tier, step.publication) is BatchStatus.PUBLISHED
    tier.publish(claim)
    table = tier.table()
    assert table.scan().count() == 6
    assert len(table.snapshots()) == 3


def test_a_lost_reply_while_the_table_is_created_is_found_out_by_looking(
    tier: IcebergColdTier, proxy: PostgresProxy
) -> None:
    with catalog_behind(tier, proxy) as catalog:
        proxy.strike(CommitFault.APPLIED, skip=1)
        with pytest.raises(LedgerUnavailableError, match="nobody knows"):
            catalog.ensure(tier.stream, MAPPING, expected_uuid=None)
        created = catalog.ensure(tier.stream, MAPPING, expected_uuid=None)
    assert created == tier.target()


def test_a_postgres_that_is_gone_before_the_commit_leaves_nothing_behind(
    tier: IcebergColdTier, proxy: PostgresProxy
) -> None:
    step = tier.write(tier.begin())
    before = tier.keys("metadata")
    with catalog_behind(tier, proxy) as catalog:
        catalog.inspect(tier.stream.target)
        stopped = IcebergCatalog(
            database=catalog._publisher._database,
            catalog=CatalogSettings(),
            store=tier.store,
            failpoints=Interrupt("publish.before-commit", proxy.stop),
        )
        with pytest.raises(IcehaulError) as raised:
            stopped.publish(step.publication)
        assert isinstance(raised.value, UnknownCommitError | LedgerUnavailableError)
    assert status(tier, step.publication) is BatchStatus.WRITING
    tier.catalog.publish(step.publication)
    assert tier.table().scan().count() == 3
    assert set(before) <= set(tier.keys("metadata"))


# ---------------------------------------------------------------------------------------------- moved bases


def test_a_base_that_moved_is_never_rebased_on_blindly(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    tier.publish(claim)
    step = tier.write(claim)
    foreign: list[int] = []
    catalog = interrupted(tier, "publish.after-stage", lambda: foreign.append(tier.add_foreign()))
    with pytest.raises(BaseMovedError, match="moved on"):
        catalog.publish(step.publication)
    assert tier.target().snapshot_id == foreign[0]
    assert status(tier, step.publication) is BatchStatus.WRITING
    assert set(tier.keys("metadata")) == referenced(tier)
    catalog.publish(step.publication)
    settled(tier, rows=7, batches=2)
    assert {each.snapshot_id for each in tier.table().snapshots()} >= set(foreign)


def test_a_rollback_between_staging_and_commit_is_seen_after_restaging(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    first = tier.publish(claim)
    tier.publish(claim)
    step = tier.write(claim)
    catalog = interrupted(tier, "publish.after-stage", lambda: tier.roll_back(first))
    with pytest.raises(BaseMovedError):
        catalog.publish(step.publication)
    with pytest.raises(DivergenceError):
        catalog.publish(step.publication)


def test_a_table_dropped_between_staging_and_commit_is_not_resurrected(tier: IcebergColdTier) -> None:
    step = tier.write(tier.begin())
    catalog = interrupted(tier, "publish.after-stage", tier.drop)
    with pytest.raises(BaseMovedError):
        catalog.publish(step.publication)
    with pytest.raises(DivergenceError, match="not in the catalog"):
        catalog.publish(step.publication)


# ---------------------------------------------------------------------------------------------- zombies


def test_an_owner_that_loses_its_lease_between_staging_and_commit_is_fenced(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    step = tier.write(claim)

    def take_over() -> None:
        tier.ledger.release(claim)
        newer = tier.ledger.claim(tier.stream.name, "two", HOUR)
        tier.catalog.publish(tier.write(newer).publication)

    with pytest.raises(FencedError):
        interrupted(tier, "publish.after-stage", take_over).publish(step.publication)
    settled(tier, rows=3, batches=1)
    assert step.file.path not in tier.catalog.data_files(tier.stream.target, PartitionBy.DAY, None)


def test_a_zombie_on_an_unchanged_table_is_fenced_too(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    step = tier.write(claim)
    renewed = interrupted(tier, "publish.after-stage", lambda: tier.ledger.claim(tier.stream.name, claim.owner, HOUR))
    with pytest.raises(FencedError):
        renewed.publish(step.publication)
    assert tier.target().snapshot_id is None
    assert set(tier.keys("metadata")) == referenced(tier)


# ---------------------------------------------------------------------------------------------- crashes

_CRASH = """
import pickle, sys
from consumer.adapters.iceberg.catalog import IcebergCatalog
from consumer.adapters.postgres.database import Database
from consumer.failpoints.acting import Failpoints
from consumer.settings.connections import CatalogSettings
postgres, store, publication, point = pickle.load(sys.stdin.buffer)
catalog = IcebergCatalog(
    database=Database(postgres), catalog=CatalogSettings(), store=store, failpoints=Failpoints(f"{point}=kill")
)
catalog.publish(publication)
"""


@pytest.mark.parametrize(
    ("point", "landed"),
    [("publish.after-stage", False), ("publish.before-commit", False), ("publish.after-commit", True)],
)
def test_a_killed_publisher_leaves_all_or_nothing(tier: IcebergColdTier, point: str, *, landed: bool) -> None:

    claim = tier.begin()
    tier.publish(claim)
    step = tier.write(claim)
    work = pickle.dumps((PostgresSettings(dsn=SecretStr(tier.dsn)), tier.store, step.publication, point))
    killed = subprocess.run(
        [sys.executable, "-c", _CRASH], input=work, check=False, env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )
    assert killed.returncode == -signal.SIGKILL
    assert (status(tier, step.publication) is BatchStatus.PUBLISHED) == landed
    if not landed:
        assert tier.table().scan().count() == 3
        orphans = {PurePosixPath(key).suffix for key in set(tier.keys("metadata")) - referenced(tier)}
        assert orphans == {".avro", ".json"}
        tier.catalog.publish(step.publication)
    assert tier.table().scan().count() == 6
    assert len(tier.table().snapshots()) == 2


# ---------------------------------------------------------------------------------------------- the ledger edited


@pytest.mark.parametrize(
    "edit",
    [
        "last_upper = NULL",
        "last_upper = last_upper - interval '1 hour'",
        "generation = generation + 1",
    ],
)
def test_a_ledger_that_tells_another_story_stops_the_publish(tier: IcebergColdTier, edit: str) -> None:
    claim = tier.begin()
    tier.publish(claim)
    step = tier.write(claim)
    tier.execute(f"UPDATE offload_watermarks SET {edit}")
    with pytest.raises(DivergenceError):
        tier.catalog.publish(step.publication)
    assert tier.table().scan().count() == 3


def test_a_batch_that_the_ledger_has_forgotten_is_recognised_on_the_ancestry(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    step = tier.write(claim)
    tier.catalog.publish(step.publication)
    tier.execute("UPDATE offload_watermarks SET watermark = %s, last_upper = NULL", START)
    tier.execute(
        "UPDATE offload_batches SET status = 'writing', snapshot_id = NULL, ended = NULL WHERE batch_id = %s",
        step.publication.batch.id,
    )
    with pytest.raises(DivergenceError, match=r"is in the table bronze\.trades already"):
        tier.catalog.publish(step.publication)
    assert tier.table().scan().count() == 3


def test_a_retry_is_recognised_after_its_snapshot_has_expired(tier: IcebergColdTier) -> None:
    tier.stream = replace(tier.stream, retain_snapshots=1)
    claim = tier.begin()
    step = tier.write(claim)
    tier.catalog.publish(step.publication)
    tier.publish(claim)
    assert len(tier.table().snapshots()) == 1
    with pytest.raises(UnknownCommitError):
        tier.catalog.publish(step.publication)
    assert status(tier, step.publication) is BatchStatus.PUBLISHED
    assert tier.table().scan().count() == 6


def test_evidence_that_somebody_garbled_is_not_ignored(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    tier.publish(claim)
    tier.add_foreign()
    tier.expire(1)
    tier.table().transaction().set_properties({"icehaul.last-upper": "yesterday"}).commit_transaction()
    with pytest.raises(DivergenceError, match="can't be read"):
        tier.publish(claim)


# ---------------------------------------------------------------------------------------------- the store


def with_store(tier: IcebergColdTier, store: StoreSettings) -> IcebergCatalog:
    return IcebergCatalog(database=tier.database, catalog=CatalogSettings(), store=store)


def test_wrong_keys_are_named_and_not_retried(tier: IcebergColdTier) -> None:
    for change in ({"access_key": "nobody"}, {"secret_key": SecretStr("wrong")}):
        catalog = with_store(tier, tier.store.model_copy(update=change))
        with pytest.raises(AccessDeniedError, match=r"store\.access_key") as raised:
            catalog.ensure(tier.stream, MAPPING, expected_uuid=None)
        assert "wrong" not in str(raised.value)
    assert tier.catalog.inspect(tier.stream.target) is None


def test_a_missing_bucket_is_named(tier: IcebergColdTier) -> None:
    catalog = with_store(tier, tier.store.model_copy(update={"bucket": "no-such-bucket"}))
    with pytest.raises(AccessDeniedError, match=r"store\.bucket: the bucket 'no-such-bucket' does not exist"):
        catalog.ensure(tier.stream, MAPPING, expected_uuid=None)
    assert tier.catalog.inspect(tier.stream.target) is None


@pytest.fixture
def store_proxy(stack: EmbeddedStack) -> Iterator[TcpProxy]:
    port = urlsplit(stack.endpoints.store.endpoint).port
    assert port is not None
    with TcpProxy(port) as running:
        yield running


def test_a_store_that_goes_away_while_staging_is_an_error_that_passes(
    tier: IcebergColdTier, store_proxy: TcpProxy
) -> None:
    step = tier.write(tier.begin())
    catalog = with_store(tier, tier.store.model_copy(update={"endpoint": f"http://127.0.0.1:{store_proxy.port}"}))
    catalog.check(tier.target(), tier.stream, [step.file])
    store_proxy.stop()
    with pytest.raises(StoreUnavailableError, match=str(store_proxy.port)):
        catalog.publish(step.publication)
    with pytest.raises(StoreUnavailableError, match="footer"):
        catalog.check(tier.target(), tier.stream, [step.file])
    store_proxy.accept()
    catalog.publish(step.publication)
    assert tier.table().scan().count() == 3


def test_a_lost_metadata_file_is_a_divergence(tier: IcebergColdTier) -> None:
    claim = tier.begin()
    tier.publish(claim)
    step = tier.write(claim)
    tier.io.delete(tier.location())
    with pytest.raises(DivergenceError, match="does not hold"):
        with_store(tier, tier.store).publish(step.publication)


def test_claims_stay_valid_after_a_failed_publish(tier: IcebergColdTier) -> None:
    claim: Claim = tier.begin()
    step = tier.write(claim)

    def fail() -> None:
        raise LedgerUnavailableError("made up", remedy="none")

    for point in ("publish.after-stage", "publish.before-commit"):
        with pytest.raises(LedgerUnavailableError, match="made up"):
            interrupted(tier, point, fail).publish(step.publication)
    tier.catalog.publish(step.publication)
    assert tier.table().scan().count() == 3
