"""What Iceberg's JVM JDBC catalog makes of a lost reply, and that icehaul's publish does not.

``docs/explanation/jvm-jdbc-catalog.md`` tells the story. The first half describes how a version of Iceberg behaves,
not how it should: when an upgrade makes a test fail, read the page again, and correct both.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from py4j.java_gateway import JavaGateway

from consumer.adapters.iceberg.catalog import IcebergCatalog
from consumer.adapters.postgres.database import Database
from consumer.domain.batch import BatchStatus
from consumer.domain.errors import DivergenceError, UnknownCommitError
from consumer.domain.stream import TableName
from consumer.embedded.stack import EmbeddedStack
from consumer.ports import Claim
from consumer.settings.connections import CatalogSettings, PostgresSettings
from tests.support.cold_tier import IcebergColdTier, iceberg_cold_tier
from tests.support.java_catalog import ROWS, JavaWriter, iceberg_jvm
from tests.support.postgres_proxy import CommitFault, PostgresProxy

pytestmark = pytest.mark.thorough

DESCRIBED = "1.12.0"
"""The version of Iceberg that the tests and the page describe."""
UPDATE = re.compile(b"update iceberg_tables")
OURS = 3
"""Rows of one of icehaul's batches."""


@pytest.fixture(scope="module")
def gateway(stack: EmbeddedStack) -> Iterator[JavaGateway]:
    with iceberg_jvm(stack.endpoints) as running:
        yield running


@pytest.fixture
def tier(stack: EmbeddedStack) -> Iterator[IcebergColdTier]:
    with iceberg_cold_tier(stack.endpoints) as real:
        yield real


@pytest.fixture
def claim(tier: IcebergColdTier) -> Claim:
    """A stream with one published batch."""
    claim = tier.begin()
    tier.publish(claim)
    return claim


@pytest.fixture
def proxy(stack: EmbeddedStack) -> Iterator[PostgresProxy]:
    with PostgresProxy(stack.endpoints.postgres.port) as running:
        yield running


@pytest.fixture
def writer(gateway: JavaGateway, tier: IcebergColdTier, claim: Claim, proxy: PostgresProxy) -> Iterator[JavaWriter]:
    made = JavaWriter(gateway, tier, port=proxy.port)
    yield made
    made.close()


def behind(tier: IcebergColdTier, port: int) -> str:
    """The ledger's DSN through a proxy."""
    dsn = urlsplit(tier.dsn)
    return dsn._replace(netloc=f"{dsn.username}:{dsn.password}@127.0.0.1:{port}", query="sslmode=disable").geturl()


def rows(tier: IcebergColdTier) -> int:
    return int(tier.table().scan().count())


def forbid_retries(tier: IcebergColdTier) -> None:
    """Leave a commit one attempt, as a contended table does in the end."""
    tier.table().transaction().set_properties({"commit.retry.num-retries": "0"}).commit_transaction()


# ---------------------------------------------------------------------------------- what Iceberg does


def test_the_page_describes_the_iceberg_that_is_pinned(gateway: JavaGateway) -> None:
    found = str(gateway.jvm.org.apache.iceberg.IcebergBuild.version())
    assert found == DESCRIBED, "read docs/explanation/jvm-jdbc-catalog.md and this file again, and correct them"


def test_the_pointer_update_is_sent_again_after_its_reply_was_lost(
    tier: IcebergColdTier, proxy: PostgresProxy, writer: JavaWriter
) -> None:
    proxy.strike(CommitFault.APPLIED, aim=UPDATE)
    assert writer.append() is None
    # The second one finds the pointer moved, by the first. The retry finds its snapshot in the table, and is content.
    assert proxy.statements == 2
    assert rows(tier) == OURS + ROWS


def test_a_commit_that_came_between_is_rolled_back_by_the_retry_and_icehaul_halts(
    tier: IcebergColdTier, claim: Claim, proxy: PostgresProxy, writer: JavaWriter
) -> None:
    between: list[int] = []
    proxy.strike(CommitFault.APPLIED, aim=UPDATE, meanwhile=lambda: between.append(tier.publish(claim)))

    assert writer.append() is None

    table = tier.table()
    current = table.current_snapshot()
    assert current is not None
    assert current.snapshot_id not in between
    assert table.snapshot_by_id(between[0]) is not None
    assert rows(tier) == OURS + ROWS, "the batch between is gone, and nobody was told"
    with pytest.raises(DivergenceError, match="the ledger has recorded rows up to 2024-01-01T02"):
        tier.publish(claim)


def test_without_a_retry_left_a_landed_commit_counts_as_failed_and_loses_its_manifests(
    tier: IcebergColdTier, claim: Claim, proxy: PostgresProxy, writer: JavaWriter
) -> None:
    forbid_retries(tier)
    proxy.strike(CommitFault.APPLIED, aim=UPDATE)

    assert writer.append() == "CommitFailedException"

    snapshot = tier.table().current_snapshot()
    assert snapshot is not None
    assert snapshot.parent_snapshot_id is not None, "it has landed"
    with pytest.raises(FileNotFoundError):
        tier.table().scan().to_arrow()
    with pytest.raises(DivergenceError, match=r"a file that the store does not hold.*/snap-.*\.avro") as raised:
        tier.publish(claim)
    assert "roll the table back" in raised.value.remedy


@pytest.mark.spark
@pytest.mark.timeout(900)
def test_spark_deletes_the_data_files_of_an_insert_that_has_landed(
    stack: EmbeddedStack, tier: IcebergColdTier, claim: Claim, proxy: PostgresProxy
) -> None:
    forbid_retries(tier)
    kept = tier.keys("data")
    proxy.strike(CommitFault.APPLIED, aim=UPDATE)

    said = insert_with_spark(stack, tier, proxy)

    assert "CommitFailedException" in said
    table = tier.table()
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert snapshot.summary.additional_properties["added-records"] == str(ROWS)
    assert tier.keys("data") == kept


def insert_with_spark(stack: EmbeddedStack, tier: IcebergColdTier, proxy: PostgresProxy) -> str:
    endpoints, dsn = stack.endpoints, urlsplit(tier.dsn)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.spark_writer", str(tier.stream.target), str(ROWS)],
        env={
            **os.environ,
            "JAVA_HOME": str(endpoints.java_home),
            "WRITER_JARS": ",".join(map(str, endpoints.spark_jars)),
            "WRITER_JDBC_URL": f"jdbc:postgresql://127.0.0.1:{proxy.port}{dsn.path}",
            "WRITER_USER": endpoints.postgres.user,
            "WRITER_PASSWORD": endpoints.postgres.password,
            "WRITER_WAREHOUSE": tier.store.warehouse,
            "WRITER_S3_ENDPOINT": endpoints.store.endpoint,
            "WRITER_ACCESS_KEY": endpoints.store.access_key,
            "WRITER_SECRET_KEY": endpoints.store.secret_key,
            "WRITER_REGION": endpoints.store.region,
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return str(json.loads(done.stdout.strip().splitlines()[-1])["error"])


def test_a_table_that_was_created_counts_as_failed_and_stays(
    tier: IcebergColdTier, proxy: PostgresProxy, writer: JavaWriter
) -> None:
    proxy.strike(CommitFault.APPLIED, aim=re.compile(b"insert into iceberg_tables"))
    assert writer.create(TableName.parse("bronze.other")) == "UncheckedSQLException"
    assert proxy.statements == 2
    assert tier.other.table_exists("bronze.other")


def test_a_role_that_may_only_read_the_catalog_keeps_jvm_engines_from_all_that(
    gateway: JavaGateway, stack: EmbeddedStack, tier: IcebergColdTier, claim: Claim, unique_name: str
) -> None:
    tier.execute(f"CREATE ROLE {unique_name} LOGIN PASSWORD 'only-reads'")
    tier.execute(f"GRANT SELECT ON iceberg_tables, iceberg_namespace_properties TO {unique_name}")
    reader = JavaWriter(gateway, tier, port=stack.endpoints.postgres.port, user=unique_name, password="only-reads")
    try:
        assert reader.table().currentSnapshot().snapshotId() == tier.target().snapshot_id
        assert reader.append() == "UncheckedSQLException"
    finally:
        reader.close()
        tier.execute(f"DROP OWNED BY {unique_name}")
        tier.execute(f"DROP ROLE {unique_name}")
    tier.publish(claim)
    assert rows(tier) == 2 * OURS


# ---------------------------------------------------------------------------------- what icehaul does


@pytest.mark.parametrize("between", ["nothing", "icehaul's next batch", "an append", "a compaction"])
def test_icehaul_s_own_commit_survives_the_same_fault(
    tier: IcebergColdTier, claim: Claim, proxy: PostgresProxy, between: str
) -> None:
    forbid_retries(tier)
    commits: dict[str, Callable[[], int]] = {
        "icehaul's next batch": lambda: tier.publish(claim),
        "an append": tier.add_foreign,
        "a compaction": lambda: tier.compact(carry=False),
    }
    later: list[int] = []
    step = tier.write(claim)
    with Database(PostgresSettings(dsn=behind(tier, proxy.port))) as database:
        catalog = IcebergCatalog(database=database, catalog=CatalogSettings(), store=tier.store)
        catalog.inspect(tier.stream.target)
        proxy.strike(
            CommitFault.APPLIED,
            skip=1,
            meanwhile=(lambda: later.append(commits[between]())) if between in commits else None,
        )
        with pytest.raises(UnknownCommitError):
            catalog.publish(step.publication)
        found = tier.ledger.resolve(tier.stream.name, step.publication.batch.id)
        assert found is not None
        assert found.status is BatchStatus.PUBLISHED

    table = tier.table()
    current = table.current_snapshot()
    assert current is not None
    assert current.snapshot_id == (later[0] if later else found.snapshot_id)
    assert {found.snapshot_id, *later} <= {snapshot.snapshot_id for snapshot in table.snapshots()}
    added = {"icehaul's next batch": OURS, "an append": 1}.get(between, 0)
    assert table.scan().to_arrow().num_rows == 2 * OURS + added
