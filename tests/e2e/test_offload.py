"""From the event to the snapshot, with icehaul's own processes on real servers."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consumer.adapters.telemetry.trace_tree import read_spans
from consumer.bootstrap import Application
from consumer.demo.group import Group
from consumer.domain.batch import BatchStatus
from consumer.domain.event_factory import tick
from consumer.embedded.stack import EmbeddedStack
from tests.support.platform import Platform, day
from tests.support.processes import PeakMemory, icehaul
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

MEBIBYTES_MAX = 2048


@pytest.fixture
def platform(
    stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    made = Platform(stack.endpoints, unique_name, tmp_path)
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()


@pytest.fixture
def operator(platform: Platform) -> Iterator[Callable[[], Application]]:
    """Makes the operator's view: the same configuration, no consumer."""
    made: list[Application] = []

    def make() -> Application:
        application = Application(platform.configuration(), environment={})
        application.migrate()
        application.topics.ensure()
        made.append(application)
        return application

    yield make
    for application in made:
        with application:
            pass


def offloaded(view: Application, stream: str, rows: int) -> bool:
    return sum(one.rows for one in view.ledger.batches(stream, 1000) if one.status is BatchStatus.PUBLISHED) == rows


@pytest.mark.thorough
def test_five_rows_then_three_more_make_eight_without_duplicates(
    platform: Platform, operator: Callable[[], Application], tmp_path: Path
) -> None:
    stream = platform.add_stream()
    platform.insert(5, day="2024-01-01")
    traces = tmp_path / "traces.jsonl"
    platform.sections["telemetry"] = {"trace_file": str(traces)}
    view = operator()
    config = str(platform.write())
    with icehaul("run", "-c", config, log=tmp_path / "run.log", environment=platform.environment()) as consumer:
        port = consumer.http_port()
        view.event_sink.send([tick(stream=stream, boundary=day("2024-01-02"))])
        wait_until(lambda: offloaded(view, stream, 5), seconds=60, what="the first five rows")

        platform.insert(3, first=5, day="2024-01-02")
        view.event_sink.send([tick(stream=stream, boundary=day("2024-01-03"))] * 3)
        wait_until(lambda: offloaded(view, stream, 8), seconds=60, what="three more rows")
        wait_until(lambda: acknowledged(view, platform) == 4, what="all offsets to be committed")

        for path in ("livez", "readyz", "startupz", "metrics"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=60) as answer:
                body = answer.read().decode()
                if path == "readyz":
                    assert json.loads(body)["checks"] == dict.fromkeys(
                        ("clickhouse", "kafka", "postgres", "spark", "store", "poll_loop"), "ok"
                    )
        assert f'icehaul_rows_total{{kind="window",outcome="published",stream="{stream}"}} 8.0' in body
        assert consumer.terminate() == 0

    found = view.verifier.verify(view.streams[stream])
    assert found.equal, found
    assert found.cold.rows == 8
    assert view.catalog.snapshots(view.streams[stream].target) == 2
    _assert_one_trace_from_event_to_offset(traces, view, stream)


def acknowledged(view: Application, platform: Platform) -> int:
    """How many events the group has acknowledged."""
    group = Group(
        bootstrap_servers=platform.endpoints.kafka.bootstrap_servers,
        group=view.configuration.kafka.group,
        topic=platform.topic,
    )
    try:
        return group.events() - group.behind()
    finally:
        group.close()


def _assert_one_trace_from_event_to_offset(traces: Path, view: Application, stream: str) -> None:
    newest = view.ledger.batches(stream, 1)[0]
    names = {span.name for span in read_spans([traces]) if span.trace_id == newest.trace_id}
    topic = view.configuration.kafka.topic
    assert {
        f"process {topic}",
        "offload.claim",
        "offload.observe",
        "offload.plan",
        "offload.write",
        "offload.unit",
        "offload.check",
        "offload.publish",
        f"commit {topic}",
    } <= names


@pytest.mark.thorough
def test_a_million_trades_arrive_exactly_within_two_gibibytes(
    platform: Platform, operator: Callable[[], Application], tmp_path: Path, record_property: Callable[..., None]
) -> None:
    rows = 1_000_000
    stream = platform.add_stream(batch={"unit_rows": 250_000})
    platform.insert(rows)
    platform.sections["spark"] = {"master": "local[2]"}
    view = operator()
    config = str(platform.write())
    with icehaul("run", "-c", config, log=tmp_path / "run.log", environment=platform.environment()) as consumer:
        consumer.http_port()
        with PeakMemory(consumer.pid) as peak:
            view.event_sink.send([tick(stream=stream, boundary=day("2024-01-02"))])
            wait_until(lambda: offloaded(view, stream, rows), seconds=240, what="a million rows")
        batch = view.ledger.batches(stream, 1)[0]
        assert consumer.terminate() == 0
    found = view.verifier.verify(view.streams[stream])
    assert found.equal, found
    assert found.cold.rows == rows
    assert batch.ended is not None
    seconds = (batch.ended - batch.started).total_seconds()
    summary = {"rows": rows, "seconds": round(seconds, 2), "peak_mib": round(peak.mib)}
    record_property("million", json.dumps(summary))
    print(f"\n{rows:,} rows in {seconds:.1f} s, peak of consumer, driver and Python workers: {peak.mib:.0f} MiB")  # noqa: T201
    assert 0 < peak.mib <= MEBIBYTES_MAX
