"""What is special about engines on a Spark Connect server: they share a session, and their code travels."""

from __future__ import annotations

import inspect
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pyspark.sql.connect.client import SparkConnectClient

from consumer.adapters.spark.engine import SparkEngine
from consumer.domain.errors import ConfigurationError, EngineFailedError
from consumer.domain.fingerprint import EMPTY
from consumer.embedded.stack import EmbeddedStack
from spark import connect_session
from spark.batch_session import JobLabel
from spark.connect_session import ConnectSession
from tests.support import spark_connect_server
from tests.support.spark import HotTable, joined, remote_engine
from tests.support.spark_connect_server import SparkConnectServer
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.thorough, pytest.mark.spark]

LABEL = JobLabel(pool="p", group="g", description="d, e")


@pytest.fixture
def trades(stack: EmbeddedStack) -> HotTable:
    return HotTable.numbered(stack.endpoints, 3000)


def session_of(engine: SparkEngine) -> ConnectSession:
    session = engine._session
    assert isinstance(session, ConnectSession)
    return session


def test_two_engines_on_one_server_share_the_session_and_write_at_once(
    stack: EmbeddedStack, connect_server: SparkConnectServer, connect_engine: SparkEngine, trades: HotTable
) -> None:
    other = remote_engine(stack.endpoints, connect_server.url)
    engines = [connect_engine, other] * 3
    batches = [trades.batch(0, 1000 + number, 3000) for number in range(len(engines))]
    try:
        with ThreadPoolExecutor(max_workers=len(engines)) as threads:
            results = list(threads.map(trades.write, engines, batches))
        ours, others = session_of(connect_engine), session_of(other)
        assert ours is not others
        assert ours._client._session_id == others._client._session_id
    finally:
        other.stop()

    expected = trades.source_fingerprint()
    assert [sum((report.file.fingerprint for report in reports), EMPTY) for reports in results] == [expected] * 6


def test_stopping_an_engine_ends_its_own_batches_and_nobody_elses(
    stack: EmbeddedStack, connect_server: SparkConnectServer, connect_engine: SparkEngine, trades: HotTable
) -> None:
    slow, slower = trades.slow_view(seconds=8), trades.slow_view(seconds=25)
    leaving = remote_engine(stack.endpoints, connect_server.url)
    leaving.start()
    connect_engine.start()
    with ThreadPoolExecutor(max_workers=2) as threads:
        left = threads.submit(slower.write, leaving, slower.batch(0, 3000))
        wait_for(lambda: left.done() or slower.running_queries() == 1, deadline_s=90, what="the first batch is read")
        stays = threads.submit(slow.write, connect_engine, slow.batch(0, 3000))
        wait_for(lambda: stays.done() or slow.running_queries() == 1, deadline_s=90, what="the second batch is read")
        ((job,),) = leaving._running.values()
        leaving.stop()
        assert session_of(connect_engine)._client.interrupt_tag(job.group) == [], "the server still runs the batch"
        with pytest.raises(EngineFailedError):
            left.result(timeout=30)
        (report,) = stays.result(timeout=90)

    assert report.file.fingerprint == trades.source_fingerprint()
    assert not leaving.ready
    assert connect_engine.ready


def test_a_job_that_was_cancelled_before_the_server_knew_it_ends_too(
    connect_server: SparkConnectServer, trades: HotTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = joined(connect_server.url)
    slow = trades.slow_view(seconds=20)
    send = SparkConnectClient.to_table_as_iterator

    def cancelled_first(client: SparkConnectClient, *arguments: object) -> object:
        session.cancel(LABEL.group)
        return send(client, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(SparkConnectClient, "to_table_as_iterator", cancelled_first)
    started_s = time.monotonic()
    try:
        with pytest.raises(Exception, match="OPERATION_CANCELED"):
            session.run(LABEL, slow.context(), [slow.task(slow.batch(0, 3000))])
    finally:
        session.stop()

    assert time.monotonic() - started_s < 15


def test_a_session_that_the_server_closed_is_left_for_a_new_one(
    connect_server: SparkConnectServer, connect_engine: SparkEngine, trades: HotTable
) -> None:
    connect_engine.start()
    before = session_of(connect_engine)
    before._client.release_session()

    assert not connect_engine.ready
    assert len(trades.write(connect_engine, trades.batch(0, 3000))) == 1
    after = session_of(connect_engine)
    third = joined(connect_server.url)
    try:
        assert third._client._session_id == after._client._session_id != before._client._session_id
    finally:
        third.stop()


def test_a_worker_with_other_code_is_refused_when_joining_and_for_each_unit(
    connect_server: SparkConnectServer, trades: HotTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = joined(connect_server.url)
    session._code = "0" * 16
    try:
        (outcome,) = session.run(LABEL, trades.context(), [trades.task(trades.batch(0, 3000))])
    finally:
        session.stop()

    assert isinstance(outcome.error, ConfigurationError)
    assert "runs an icehaul of its own" in outcome.error.message
    assert trades.stored(trades.batch(0, 3000)) == []
    monkeypatch.setattr(connect_session, "code_digest", lambda: "0" * 16)
    with pytest.raises(ConfigurationError, match="runs an icehaul of its own"):
        joined(connect_server.url)


def test_workers_that_lack_a_package_are_a_clear_error(
    connect_server: SparkConnectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A function of this module travels by its name, and the workers have no tests.
    monkeypatch.setattr(connect_session, "check_worker", joined)

    with pytest.raises(ConfigurationError, match="can't run icehaul's tasks: ModuleNotFoundError") as caught:
        joined(connect_server.url)

    assert "pyarrow and pyiceberg" in caught.value.remedy


def test_what_is_no_spark_connect_server_is_told_with_its_address(stack: EmbeddedStack) -> None:
    for port in (stack.endpoints.clickhouse.port, stack.endpoints.postgres.port):
        with pytest.raises(
            EngineFailedError, match=f"no Spark Connect server answers at sc://127.0.0.1:{port}"
        ) as told:
            joined(f"sc://127.0.0.1:{port}")
        assert "correct host, port and use_ssl in spark.remote" in told.value.remedy


def test_the_page_starts_a_server_with_the_class_and_the_properties_of_the_one_that_is_tested() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "share-a-spark-connect-server.md"
    (command,) = re.findall(r"```bash\n(spark-submit .*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    shown = {*re.findall(r"--class (\S+)", command), *re.findall(r"--conf ([^=]+)=", command)}
    tested = inspect.getsource(spark_connect_server)
    assert len(shown) == 5
    assert {name for name in shown if f'"{name}"' not in tested} == set()
