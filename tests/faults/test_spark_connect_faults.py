"""A Spark Connect server that wants a token, hangs, dies and comes back, and consumers that die beside it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from consumer.adapters.spark.engine import SparkEngine
from consumer.bootstrap import Application
from consumer.domain.batch import BatchStatus
from consumer.domain.errors import AccessDeniedError, EngineFailedError
from consumer.domain.event_factory import tick
from consumer.domain.fingerprint import EMPTY
from consumer.embedded.process_tree import command_line
from consumer.embedded.stack import EmbeddedStack
from tests.support.platform import Platform, day
from tests.support.processes import Running, family, icehaul
from tests.support.spark import HotTable, joined, remote_engine
from tests.support.spark_connect_server import SparkConnectServer, running_connect_server
from tests.support.waiting import wait_for, wait_until

pytestmark = [pytest.mark.thorough, pytest.mark.spark, pytest.mark.timeout(900)]

TOKEN = "hunter2-connect"


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkConnectServer]:
    """A server of this module's own, to be frozen and killed; it wants a token, and writes down what it does."""
    directory = tmp_path_factory.mktemp("own-connect")
    (directory / "events").mkdir()
    properties = {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": (directory / "events").as_uri(),
        "spark.eventLog.compress": "false",
    }
    with running_connect_server(directory, properties=properties, token=TOKEN) as server:
        yield server


@pytest.fixture
def own_engine(stack: EmbeddedStack, own_server: SparkConnectServer) -> Iterator[SparkEngine]:
    engine = remote_engine(stack.endpoints, own_server.url)
    yield engine
    engine.stop()


@pytest.fixture
def trades(stack: EmbeddedStack) -> HotTable:
    return HotTable.numbered(stack.endpoints, 3000)


def test_without_the_token_access_is_denied_and_the_token_is_not_told(own_server: SparkConnectServer) -> None:
    for url in (f"sc://localhost:{own_server.port}", f"sc://localhost:{own_server.port}/;token=wrong-{TOKEN}"):
        with pytest.raises(AccessDeniedError, match=f"sc://localhost:{own_server.port} refused") as caught:
            joined(url)
        assert TOKEN not in str(caught.value)


def test_secrets_are_nowhere_in_the_servers_log_and_events(
    own_server: SparkConnectServer, own_engine: SparkEngine, trades: HotTable
) -> None:
    batch = trades.batch(0, 1000, 3000)
    trades.write(own_engine, batch)

    def recorded() -> str:
        files = [path for path in (own_server.directory / "events").rglob("*") if path.is_file()]
        text = "\n".join(path.read_text(errors="replace") for path in files)
        return text if f"batch {batch.id}" in text and "SparkListenerConnectOperationFinished" in text else ""

    text = wait_for(recorded, deadline_s=60, what="the events of the batch") + own_server.log.read_text(
        errors="replace"
    )
    assert trades.endpoints.store.secret_key not in text
    assert trades.endpoints.clickhouse.password not in text
    assert TOKEN not in text


def test_a_frozen_server_is_not_ready_and_a_cancelled_batch_waits_for_it_no_longer(
    own_server: SparkConnectServer, own_engine: SparkEngine, trades: HotTable
) -> None:
    slow = trades.slow_view(seconds=3)
    batch = slow.batch(0, 3000)
    own_engine.start()
    with ThreadPoolExecutor(max_workers=1) as threads:
        writing = threads.submit(slow.write, own_engine, batch)
        wait_for(lambda: writing.done() or slow.running_queries() == 1, deadline_s=90, what="the task runs")
        with own_server.frozen():
            assert not own_engine.ready
            own_engine.cancel(batch.id)
            with pytest.raises(EngineFailedError, match=f"batch {batch.id} was cancelled"):
                writing.result(timeout=60)

    assert len(trades.write(own_engine, trades.batch(0, 3000))) == 1


def test_a_killed_server_is_an_error_and_the_next_batch_finds_the_one_that_was_started_again(
    own_server: SparkConnectServer, own_engine: SparkEngine, trades: HotTable
) -> None:
    slow = trades.slow_view(seconds=3)
    own_engine.start()
    with ThreadPoolExecutor(max_workers=1) as threads:
        writing = threads.submit(slow.write, own_engine, slow.batch(0, 3000))
        wait_for(lambda: writing.done() or slow.running_queries() == 1, deadline_s=90, what="the task runs")
        own_server.kill()
        with pytest.raises(EngineFailedError, match="Spark ended while batch") as caught:
            writing.result(timeout=60)
    assert f"sc://localhost:{own_server.port}" in caught.value.message
    assert TOKEN not in str(caught.value)

    assert not own_engine.ready
    with pytest.raises(EngineFailedError, match=f"no Spark Connect server answers at sc://localhost:{own_server.port}"):
        trades.write(own_engine, trades.batch(0, 3000))
    own_server.start()
    reports = trades.write(own_engine, trades.batch(0, 1000, 2000, 3000))
    assert sum((report.file.fingerprint for report in reports), EMPTY) == trades.source_fingerprint()
    assert all(one.file.unit < other.file.unit for one, other in pairwise(reports))
    assert own_engine.ready


@pytest.fixture
def platform(
    stack: EmbeddedStack,
    own_server: SparkConnectServer,
    unique_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Platform]:
    made = Platform(stack.endpoints, unique_name, tmp_path)
    made.sections["spark"] = {"remote": own_server.url}
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()


@pytest.fixture
def operator(platform: Platform) -> Iterator[Application]:
    """The operator's view: it offloads nothing itself."""
    platform.add_stream()
    with Application(platform.configuration(), environment={}) as application:
        application.migrate()
        application.topics.ensure()
        yield application


def test_the_doctor_runs_a_task_on_the_server_without_being_asked_to(
    platform: Platform, operator: Application, tmp_path: Path
) -> None:
    log = tmp_path / "doctor.log"
    arguments = ("doctor", "-c", str(platform.write()), "-o", "json")
    with icehaul(*arguments, log=log, environment=platform.environment()) as doctor:
        assert doctor.popen.wait(120) == 0
    found = [one for one in json.loads(log.read_text())["findings"] if one["check"] == "spark"]

    assert [one["severity"] for one in found] == ["ok", "ok"]
    assert found[1]["message"] == "a session ran a task"
    assert TOKEN not in log.read_text()


def published(view: Application) -> int:
    (stream,) = view.streams
    return sum(one.rows for one in view.ledger.batches(stream, 100) if one.status is BatchStatus.PUBLISHED)


def readiness(consumer: Running) -> dict[str, Any]:
    """What /readyz says about each dependency."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{consumer.http_port()}/readyz", timeout=60) as answer:
            text = answer.read()
    except urllib.error.HTTPError as refusal:
        text = refusal.read()
    checks: dict[str, Any] = json.loads(text)["checks"]
    return checks


def test_a_consumer_killed_in_mid_batch_has_an_heir_on_the_same_server_which_outlives_that_server_too(
    platform: Platform, operator: Application, own_server: SparkConnectServer, tmp_path: Path
) -> None:
    (stream,) = operator.streams
    platform.insert(500)
    config, environment = str(platform.write()), dict(platform.environment())
    # Whatever PySpark's client would log of a request is printed.
    environment["SPARK_CONNECT_LOG_LEVEL"] = "debug"
    doomed_log, heir_log = tmp_path / "doomed.log", tmp_path / "heir.log"
    armed = environment | {"ICEHAUL_FAILPOINTS": "task.before-read=delay(90)"}
    with icehaul("run", "-c", config, log=doomed_log, environment=armed) as doomed:
        doomed.http_port()
        operator.event_sink.send([tick(stream=stream, boundary=day("2024-01-02"))])
        doomed.wait_for("travel with this Spark job")
        assert not [pid for pid in family(doomed.pid) if "java" in " ".join(command_line(pid)[:1])]
        doomed.kill()

    with icehaul("run", "-c", config, log=heir_log, environment=environment) as heir:
        wait_until(lambda: published(operator) == 500, seconds=90, what="the heir to write the dead consumer's batch")
        assert readiness(heir)["spark"] == "ok"
        own_server.kill()
        wait_until(lambda: readiness(heir)["spark"] != "ok", what="the heir to miss the server")
        own_server.start()
        platform.insert(300, first=500, day="2024-01-02")
        operator.event_sink.send([tick(stream=stream, boundary=day("2024-01-03"))])
        wait_until(lambda: published(operator) == 800, seconds=90, what="the heir to find the server again")
        assert readiness(heir)["spark"] == "ok"
        assert heir.terminate() == 0

    found = operator.verifier.verify(operator.streams[stream])
    assert found.equal, found
    assert found.cold.rows == 800
    text = doomed_log.read_text() + heir_log.read_text()
    assert "ExecutePlan" in text or "Executing plan" in text or "GRPC" in text
    for secret in (TOKEN, platform.endpoints.clickhouse.password, platform.endpoints.store.secret_key):
        assert secret not in text
