"""The same job on a standalone Spark master with two workers, whose Python has no library: all of it is shipped."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from pyarrow.fs import FileSelector

from consumer.adapters.spark.engine import SparkEngine
from consumer.domain.errors import SourceMissingError
from consumer.domain.fingerprint import EMPTY
from consumer.embedded.process_tree import command_line
from consumer.embedded.stack import EmbeddedStack
from consumer.failpoints.acting import Failpoints
from consumer.settings.connections import SparkSettings
from spark import unit_offload
from spark.environment import FOLDER
from spark.object_store import key_of
from spark.packages import archive_name
from spark.results import collect
from spark.session import Session
from tests.support.bare_python import bare_python
from tests.support.local_platform import LocalPlatform, judge, ledger_database, local_platform, offload, published
from tests.support.platform import day
from tests.support.processes import family
from tests.support.spark import HotTable, clickhouse_settings, store_settings
from tests.support.standalone_cluster import StandaloneCluster, running_cluster
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.spark, pytest.mark.thorough]

EXECUTOR = "CoarseGrainedExecutorBackend"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "use-a-spark-cluster.md"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneCluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster"), workers=2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def cluster_engine(
    stack: EmbeddedStack,
    spark_engine: SparkEngine,
    cluster: StandaloneCluster,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[SparkEngine]:
    # A process has one Spark context; the shared engine starts anew with its next batch.
    spark_engine.stop()
    block, *_ = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    shown = SparkSettings.model_validate(yaml.safe_load(block)["spark"])
    here = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.executor.memory": "512m",
        # A second attempt at what takes some seconds: both write, and no slow machine makes one where none is meant.
        "spark.speculation": "true",
        "spark.speculation.interval": "50ms",
        "spark.speculation.task.duration.threshold": "3s",
        "spark.pyspark.python": str(bare_python(tmp_path_factory.mktemp("bare") / "python")),
    }
    assert shown.master.startswith("spark://")
    assert shown.conf.keys() <= here.keys()
    settings = shown.model_copy(update={"master": cluster.master, "conf": {**shown.conf, **here}})
    engine = SparkEngine(settings, clickhouse_settings(stack.endpoints), store_settings(stack.endpoints))
    yield engine
    engine.stop()


@pytest.fixture
def trades(stack: EmbeddedStack) -> HotTable:
    table = HotTable.create(stack.endpoints, "ts DateTime64(6, 'UTC'), number UInt64, note Nullable(String)")
    table.client.command(
        f"INSERT INTO {table.stream.source.table} SELECT toDateTime64('2024-01-01 00:00:00', 6, 'UTC') + number,"
        " number, if(number % 2 = 0, NULL, 'x') FROM numbers(4000)"
    )
    return table


def test_two_workers_without_any_library_write_a_batch_with_the_code_and_the_libraries_that_were_sent_to_them(
    cluster_engine: SparkEngine, trades: HotTable
) -> None:
    batch = trades.batch(0, 1000, 2000, 3000, 4000)

    reports = trades.write(cluster_engine, batch)

    assert [report.file.fingerprint.rows for report in reports] == [1000] * 4
    assert sum((report.file.fingerprint for report in reports), EMPTY) == trades.source_fingerprint()
    assert all(trades.file_fingerprint(report.file.path) == report.file.fingerprint for report in reports)
    session = cluster_engine._session
    assert isinstance(session, Session)
    tasks = session.context.parallelize([0, 1, 2, 3], 4)
    code, library, own = zip(
        *collect(tasks.map(lambda _: (unit_offload.__file__, pa.__file__, os.listdir(sysconfig.get_path("purelib"))))),  # noqa: PTH208
        strict=True,
    )
    assert all(Path(origin).match(f"*/{archive_name()}/spark/*") for origin in code)
    assert all(Path(origin).match(f"*/{FOLDER}/pyarrow/__init__.py") for origin in library)
    assert own == ([],) * 4, "the workers' Python has libraries of its own"
    assert session.context._jsc.sc().getExecutorMemoryStatus().size() == 3  # the driver and two executors


def test_the_error_of_a_remote_task_reaches_the_driver_as_itself(cluster_engine: SparkEngine, trades: HotTable) -> None:
    trades.client.command(f"DROP TABLE {trades.stream.source.table}")

    with pytest.raises(SourceMissingError):
        trades.write(cluster_engine, trades.batch(0, 1000))


@pytest.fixture
def platform(
    stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalPlatform]:
    with (
        ledger_database(stack.endpoints, unique_name) as dsn,
        local_platform(stack.endpoints, unique_name, dsn, tmp_path, monkeypatch) as made,
    ):
        yield made


@pytest.mark.parametrize(
    "failpoint",
    [
        pytest.param("task.before-answer=delay(60)", id="speculative attempt"),
        pytest.param("task.before-answer=kill", id="repeated attempt"),
    ],
)
def test_a_unit_that_two_attempts_have_written_stands_once_in_the_snapshot_and_the_other_file_is_accounted_for(
    cluster_engine: SparkEngine, platform: LocalPlatform, monkeypatch: pytest.MonkeyPatch, failpoint: str
) -> None:
    stream = platform.add_stream()
    platform.insert(1000)
    # Of the first attempt alone: those that Spark makes besides carry no failpoints.
    monkeypatch.setattr(cluster_engine, "_failpoints", Failpoints(failpoint))
    with platform.consumer() as consumer:
        consumer.engine = cluster_engine
        assert offload(consumer, stream, day("2024-01-02")) == []

        (batch,) = published(consumer, stream)
        assert batch.attempts == 1
        settings = consumer.streams[stream]
        (live,) = consumer.catalog.data_files(settings.target, settings.partition_by, None)
        stored = consumer.catalog._io.fs_by_scheme("s3", None).get_file_info(
            FileSelector(key_of(live.rpartition("/")[0]))
        )
        assert len(stored) == 2
        judge(consumer, stream, rows=1000)
        audit = consumer.auditor.audit(settings)
    (orphans,) = [check for check in audit.checks if check.name == "orphans"]
    assert orphans.figures["left behind"] not in {0, None}
    assert orphans.figures["unknown"] == 0


def executor_of(worker: subprocess.Popen[bytes]) -> int | None:
    """The process of a worker's executor."""
    return next((pid for pid in family(worker.pid) if EXECUTOR in " ".join(command_line(pid))), None)


def test_the_unit_of_a_killed_executor_is_written_again(
    cluster_engine: SparkEngine, cluster: StandaloneCluster, trades: HotTable
) -> None:
    slow = trades.slow_view(seconds=1)
    batch = slow.batch(0, 1000, 2000)
    cluster_engine.start()
    with ThreadPoolExecutor(max_workers=1) as threads:
        writing = threads.submit(slow.write, cluster_engine, batch)
        wait_for(lambda: writing.done() or slow.running_queries() == 2, deadline_s=60, what="both executors write")
        executor = executor_of(cluster.workers[1])
        assert executor is not None
        os.kill(executor, signal.SIGKILL)
        reports = writing.result(timeout=600)

    assert [report.file.unit for report in reports] == [0, 1]
    assert sum(report.file.fingerprint.rows for report in reports) == 2000
    assert all(trades.file_fingerprint(report.file.path) == report.file.fingerprint for report in reports)


def test_the_units_of_a_killed_worker_are_written_once_by_the_other(
    cluster_engine: SparkEngine, cluster: StandaloneCluster, trades: HotTable
) -> None:
    slow = trades.slow_view(seconds=2)
    batch = slow.batch(0, 1000, 2000, 3000, 4000)
    cluster_engine.start()
    with ThreadPoolExecutor(max_workers=1) as threads:
        writing = threads.submit(slow.write, cluster_engine, batch)
        wait_for(lambda: writing.done() or slow.running_queries() == 2, deadline_s=60, what="both workers write")
        os.killpg(cluster.workers[0].pid, signal.SIGKILL)
        reports = writing.result(timeout=600)

    assert [report.file.unit for report in reports] == [0, 1, 2, 3]
    assert sum((report.file.fingerprint for report in reports), EMPTY) == trades.source_fingerprint()
