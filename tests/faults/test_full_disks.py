"""Disks that are full: the store's and Spark's. Each is named with the remedy, and the batch goes on.

Of the ledger's disk tells ``test_full_disks_of_the_ledger.py``, of the broker's ``test_producer_faults.py``, of that
of the log and the traces ``tests/integration/runtime/test_worker_process.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.adapters.spark.engine import SparkEngine
from consumer.embedded.component import ComponentName
from consumer.embedded.stack import EmbeddedStack
from spark.session import Session
from tests.support.local_platform import (
    LocalPlatform,
    halted,
    judge,
    local_platform,
    offload,
    offload_once,
)
from tests.support.platform import day
from tests.support.small_disk import SmallDisk, small_disk

ROWS = 20_000
NO_SPACE = "No space left on device"


# ------------------------------------------------------------------------------------------------- the store


@pytest.fixture(scope="module")
def store_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    with small_disk(tmp_path_factory.mktemp("store"), mib=64) as disk:
        yield disk


@pytest.fixture(scope="module")
def small_store(store_disk: SmallDisk) -> Iterator[EmbeddedStack]:
    """An object store of this module's own, on a small disk."""
    with EmbeddedStack.start(store_disk.path / "stack", only=[ComponentName.STORE]) as stack:
        yield stack


def test_a_store_whose_disk_is_full_is_named_and_the_batch_goes_on_once_there_is_space(
    stack: EmbeddedStack,
    small_store: EmbeddedStack,
    store_disk: SmallDisk,
    unique_name: str,
    ledger_dsn: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoints = stack.endpoints.model_copy(update={"store": small_store.endpoints.store})
    with local_platform(endpoints, unique_name, ledger_dsn, tmp_path, monkeypatch) as platform:
        stream = platform.add_stream(on_failure={"attempts": 2, "initial": "1ms", "maximum": "1ms"})
        platform.insert(ROWS, day="2024-01-01")
        platform.insert(ROWS, day="2024-01-02", first=ROWS)
        with platform.consumer() as consumer:
            offload(consumer, stream, day("2024-01-02"))
            store_disk.fill()
            try:
                offload_once(consumer, stream, day("2024-01-03"))
            finally:
                store_disk.free()
            record = halted(consumer, stream)
            assert endpoints.store.bucket in str(record.halt_reason)
            assert "store" in str(record.halt_reason)
            assert "disk space left" in f"{record.halt_reason} {record.halt_remedy}"

            consumer.ledger.resume(stream)
            assert offload(consumer, stream, day("2024-01-03")) == []
            judge(consumer, stream, rows=2 * ROWS)


# ------------------------------------------------------------------------------------------- Spark's own disk


@pytest.mark.spark
def test_a_full_disk_of_spark_is_named_and_the_batch_goes_on_once_there_is_space(
    local: LocalPlatform, spark_engine: SparkEngine
) -> None:
    stream = local.add_stream(on_failure={"attempts": 2, "initial": "1ms", "maximum": "1ms"})
    local.insert(ROWS)
    spark_engine.start()
    session = spark_engine._session
    assert isinstance(session, Session)
    with local.consumer() as consumer:
        consumer.engine = spark_engine
        # What the driver hands to its JVM passes through this directory.
        with small_disk(Path(session.context._temp_dir), mib=1) as disk:
            disk.fill()
            offload_once(consumer, stream, day("2024-01-02"))
        record = halted(consumer, stream)
        assert NO_SPACE in str(record.halt_reason)
        assert "spark.local.dir" in str(record.halt_reason)

        consumer.ledger.resume(stream)
        assert offload(consumer, stream, day("2024-01-02")) == []
        judge(consumer, stream, rows=ROWS)
        assert spark_engine._session is session
