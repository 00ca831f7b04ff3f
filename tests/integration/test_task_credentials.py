"""Tasks with credentials of an STS: they expire, reach the batch's own folder alone, and are renewed where needed."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from consumer.adapters.spark.credentials import TaskCredentials
from consumer.adapters.spark.engine import SparkEngine
from consumer.domain.batch import Batch
from consumer.domain.errors import AccessDeniedError
from consumer.domain.fingerprint import EMPTY
from consumer.embedded.stack import EmbeddedStack
from consumer.settings.connections import SparkSettings
from spark.object_store import connect, key_of
from spark.unit_offload import offload_unit
from spark.unit_task import JobContext, StoreAccess, UnitOutcome, UnitTask
from tests.support.spark import HotTable, clickhouse_settings
from tests.support.sts_store import StsStore, sts_store
from tests.support.waiting import wait_until

LIFE_S = 12
"""Long for a unit, even on a busy machine; the test of an expiry waits for as long."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StsStore]:
    with sts_store(tmp_path_factory.mktemp("sts"), seconds=LIFE_S) as running:
        yield running


@pytest.fixture
def trades(stack: EmbeddedStack) -> HotTable:
    table = HotTable.numbered(stack.endpoints, 3000)
    location = f"s3://icehaul/warehouse/{table.stream.name}"
    return replace(table, target=replace(table.target, location=location))


class Jobs(SparkEngine):
    """The engine with its jobs run here, one unit after the other; each may have to wait for its turn."""

    def __init__(self, stack: EmbeddedStack, store: StsStore) -> None:
        super().__init__(SparkSettings(), clickhouse_settings(stack.endpoints), store.settings())
        self.contexts: list[JobContext] = []
        self.units: list[list[int]] = []
        """What was run with each of the contexts."""
        self.slow: frozenset[int] = frozenset()
        """Units that get their first turn when their job's credentials have expired."""

    def _run(self, batch: Batch, context: JobContext, tasks: Sequence[UnitTask]) -> list[UnitOutcome]:
        self.contexts.append(context)
        self.units.append([task.index for task in tasks])
        outcomes = []
        for task in tasks:
            if task.index in self.slow and len(self.contexts) == 1:
                wait_until(lambda: expired(context.store), what="the credentials' end")
            outcomes.append(offload_unit(context, task))
        return outcomes


def expired(access: StoreAccess) -> bool:
    assert access.expires_ns is not None
    return time.time_ns() > access.expires_ns


@pytest.fixture
def engine(stack: EmbeddedStack, store: StsStore) -> Jobs:
    return Jobs(stack, store)


def test_a_batch_is_written_with_credentials_of_its_own_and_without_the_consumers_keys(
    engine: Jobs, store: StsStore, trades: HotTable
) -> None:
    reports = trades.write(engine, trades.batch(0, 1000, 3000))

    assert sum((report.file.fingerprint for report in reports), EMPTY) == trades.source_fingerprint()
    assert engine.contexts
    # More than one where the units outlive the credentials, which a busy machine may see to.
    for context in engine.contexts:
        assert context.store.session_token is not None
        sent = pickle.dumps(context)
        for secret in (store.endpoint.secret_key, store.endpoint.access_key):
            assert secret.encode() not in sent
        for shown in (context.store.secret_key, context.store.session_token):
            assert str(shown) not in repr(context)


def test_a_tasks_credentials_reach_no_folder_but_its_batchs_own(store: StsStore, trades: HotTable) -> None:
    batch, other = trades.batch(0, 1000), trades.batch(0, 1000)
    files = connect(TaskCredentials(store.settings()).for_job(batch.id, trades.prefix(batch)))

    with files.open_output_stream(key_of(f"{trades.prefix(batch)}/own")) as own:
        own.write(b"own")
    for foreign in (trades.prefix(other), trades.target.location, "s3://icehaul/elsewhere"):
        with pytest.raises(OSError, match="ACCESS_DENIED"), files.open_output_stream(key_of(f"{foreign}/f")) as stream:
            stream.write(b"foreign")


def test_units_that_outlive_their_jobs_credentials_are_written_with_new_ones_and_the_others_once(
    engine: Jobs, trades: HotTable
) -> None:
    engine.slow = frozenset({1})

    reports = trades.write(engine, trades.batch(0, 1000, 2000))

    assert [report.file.unit for report in reports] == [0, 1]
    first, second, *_ = engine.contexts
    assert engine.units[0] == [0, 1]
    assert {tuple(units) for units in engine.units[1:]} == {(1,)}
    assert first.store.access_key != second.store.access_key
    assert expired(first.store)


def test_a_role_that_nobody_may_assume_halts_the_stream_with_what_to_allow(store: StsStore, trades: HotTable) -> None:
    batch = trades.batch(0, 1000)

    with pytest.raises(AccessDeniedError, match=r"store\.task_role: arn:aws:iam::role/nobody can't be assumed") as told:
        TaskCredentials(store.settings("arn:aws:iam::role/nobody")).for_job(batch.id, trades.prefix(batch))

    assert "sts:AssumeRole" in told.value.remedy
