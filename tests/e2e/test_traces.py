"""One trace leads from an event's production to its offset commit, and on through the streams that it woke."""

from __future__ import annotations

import json
import random
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from consumer.adapters.telemetry.sql_spans import PER_SPAN_MAX
from consumer.embedded.stack import EmbeddedStack
from consumer.entrypoints.cli.main import main
from tests.support.otlp import ReceivedSpan
from tests.support.planted_secrets import found_in
from tests.support.traced_offload import ROWS, UNITS, Traced, traced_offload

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "follow-a-trace.md"
STATEMENTS_MAX = 75
"""Statements of one batch that are spans, at most: a window of one file takes about 60."""
pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def world(stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    name = f"t_traces_{random.SystemRandom().randrange(10**9)}"
    with traced_offload(stack, name, tmp_path_factory.mktemp("traces")) as made:
        yield made


@pytest.fixture
def trace(world: Traced) -> Sequence[ReceivedSpan]:
    """The trace of the batch, as the collector got it."""
    assert world.batch.trace_id is not None
    return world.collector.spans(world.batch.trace_id)


def named(spans: Sequence[ReceivedSpan], name: str, stream: str | None = None) -> ReceivedSpan:
    """The one span of a name, of a stream where several have one."""
    (found,) = [one for one in spans if one.name == name and stream in {None, one.attributes.get("offload.stream")}]
    return found


def parent(spans: Sequence[ReceivedSpan], child: ReceivedSpan) -> ReceivedSpan:
    (found,) = [one for one in spans if one.span_id == child.parent]
    return found


def test_every_step_stands_below_the_one_that_caused_it(world: Traced, trace: Sequence[ReceivedSpan]) -> None:
    topic, stream, bars = world.platform.topic, world.batch.stream, world.woken.stream
    sends = [one for one in trace if one.name == f"send {topic}"]
    processes = [one for one in trace if one.name == f"process {topic}"]
    root, woken = sends
    assert root.parent == ""
    assert (root.resource["service.name"], woken.resource["service.name"]) == ("icehaul-emitter", "icehaul-consumer")
    process, dependant = processes
    assert parent(trace, process) is root
    assert parent(trace, named([one for one in trace if one.parent == root.span_id], f"poll {topic}")) is root
    for name in ("offload.claim", "offload.observe", "offload.plan", "offload.write", "offload.check"):
        assert parent(trace, named([one for one in trace if one.parent == process.span_id], name)) is process
    publish = named(trace, "offload.publish", stream)
    assert parent(trace, publish) is process
    assert parent(trace, named([one for one in trace if one.parent == process.span_id], f"commit {topic}")) is process
    # The batch-committed event goes on below the publish, and its handling below it.
    assert parent(trace, woken) is publish
    assert parent(trace, dependant) is woken
    assert parent(trace, named(trace, "offload.publish", bars)) is dependant


def test_each_spark_task_is_a_span_below_the_write_that_sent_it(world: Traced, trace: Sequence[ReceivedSpan]) -> None:
    write = named(trace, "offload.write", world.batch.stream)
    units = [one for one in trace if one.name == "offload.unit" and one.parent == write.span_id]
    assert sorted(one.attributes["offload.unit"] or 0 for one in units) == list(range(UNITS))
    assert sum(int(one.attributes["offload.rows"] or 0) for one in units) == ROWS
    assert {one.attributes["offload.batch.id"] for one in units} == {str(world.batch.batch_id)}
    assert {one.resource["service.name"] for one in units} == {"icehaul-consumer"}
    # Another process than the driver that exports them.
    assert {one.attributes["process.pid"] for one in units} & {one.resource["process.pid"] for one in units} == set()
    for unit in units:
        assert write.raw.start_time_unix_nano <= unit.raw.start_time_unix_nano <= unit.raw.end_time_unix_nano
        assert unit.raw.end_time_unix_nano <= write.raw.end_time_unix_nano


def test_the_kafka_spans_have_the_names_and_attributes_of_the_conventions(
    world: Traced, trace: Sequence[ReceivedSpan]
) -> None:
    topic = world.platform.topic
    expected = {
        f"send {topic}": ("PRODUCER", "send", "send"),
        f"poll {topic}": ("CLIENT", "poll", "receive"),
        f"process {topic}": ("CONSUMER", "process", "process"),
        f"commit {topic}": ("CLIENT", "commit", "settle"),
    }
    for name, (kind, operation, type_) in expected.items():
        for span in (one for one in trace if one.name == name):
            assert span.kind == kind
            told = span.attributes
            assert (told["messaging.system"], told["messaging.destination.name"]) == ("kafka", topic)
            assert (told["messaging.operation.name"], told["messaging.operation.type"]) == (operation, type_)
            if operation != "send":
                assert told["messaging.consumer.group.name"] == world.platform.name
            if operation != "poll":
                assert told["messaging.destination.partition.id"] in {"0", "1", "2", "3"}
                assert isinstance(told["messaging.kafka.offset"], int)
    assert trace[0].attributes["messaging.message.id"] == world.ticks[0].id


def test_a_span_that_serves_several_events_is_linked_to_the_sending_of_each(
    world: Traced, trace: Sequence[ReceivedSpan]
) -> None:
    topic = world.platform.topic
    process = next(one for one in trace if one.name == f"process {topic}")
    sent = {
        str(one.attributes["messaging.message.id"]): (one.trace_id, one.span_id)
        for one in world.collector.spans()
        if one.name == f"send {topic}"
    }
    found = {str(link.attributes["messaging.message.id"]): (link.trace_id, link.span_id) for link in process.links}
    assert found == {one.id: sent[one.id] for one in world.ticks}
    assert process.attributes["messaging.batch.message_count"] == len(world.ticks)


def test_the_steps_tell_stream_batch_window_rows_and_snapshot(world: Traced, trace: Sequence[ReceivedSpan]) -> None:
    batch = world.batch
    publish = named(trace, "offload.publish", batch.stream)
    assert publish.kind == "INTERNAL"
    assert dict(publish.attributes) == {
        "offload.stream": batch.stream,
        "offload.batch.id": str(batch.batch_id),
        "offload.window.lower": batch.window.lower.isoformat(),
        "offload.window.upper": batch.window.upper.isoformat(),
        "offload.rows": ROWS,
        "offload.bytes": batch.bytes,
        "iceberg.snapshot.id": batch.snapshot_id,
    }


def test_statements_of_both_databases_are_spans_without_their_text(
    world: Traced, trace: Sequence[ReceivedSpan]
) -> None:
    statements = [one for one in trace if "db.system.name" in one.attributes]
    by_system = Counter(one.attributes["db.system.name"] for one in statements)
    assert by_system.keys() == {"postgresql", "clickhouse"}
    assert len(statements) <= 2 * STATEMENTS_MAX, by_system
    assert max(Counter(one.parent for one in statements).values()) <= PER_SPAN_MAX
    names = {one.name for one in statements}
    assert {"UPDATE offload_watermarks", "INSERT offload_batches", "INSERT offload_outbox"} <= names
    assert f"SELECT {world.platform.name}.trades" in names
    for span in statements:
        assert span.kind == "CLIENT"
        told = span.attributes
        target = told.get("db.collection.name") or told["db.namespace"]
        assert span.name == f"{told['db.operation.name']} {target}"
        assert str(told["db.query.summary"]).split()[0] == told["db.operation.name"]
        assert "db.query.text" not in told
        assert not re.search(r"WHERE|VALUES|=|'", json.dumps(dict(told)))
    publish = named(trace, "offload.publish", world.batch.stream)
    committed = [one for one in statements if one.parent == publish.span_id and one.name.startswith("COMMIT ")]
    assert committed


def test_the_process_says_who_it_is(trace: Sequence[ReceivedSpan]) -> None:
    resource = next(one.resource for one in trace if one.resource["service.name"] == "icehaul-consumer")
    assert resource["deployment.environment.name"] == "desk-7"
    assert resource["service.namespace"] == "icehaul"
    assert resource.keys() >= {"service.version", "service.instance.id", "host.name", "process.pid"}


def test_headers_go_to_the_collector_and_nowhere_else(world: Traced) -> None:
    assert f"Bearer {world.secret}" in {request.headers["Authorization"] for request in world.collector.requests}
    written = world.log + world.metrics + world.trace_file.read_text(encoding="utf-8")
    assert found_in(written, [world.secret]) == []
    spans = "".join(str(request.body) for request in world.collector.requests)
    secrets = [world.secret, *(world.platform.environment()[f"ICEHAUL_{name}"] for name in
               ("CLICKHOUSE__PASSWORD", "STORE__SECRET_KEY"))]  # fmt: skip
    assert found_in(spans, [one for one in secrets if one]) == []


def test_the_duration_of_the_batch_leads_to_its_trace(world: Traced) -> None:
    families = text_string_to_metric_families(world.metrics)  # type: ignore[no-untyped-call]
    found = {
        sample.exemplar.labels["trace_id"]
        for family in families
        if family.name == "icehaul_batch_duration_seconds"
        for sample in family.samples
        if sample.exemplar is not None
    }
    # Of the batches in one bucket, the last one has left its trace.
    assert found
    assert found <= {one.trace_id for one in (world.batch, world.woken)}


def test_the_snapshot_names_event_offset_and_trace(world: Traced) -> None:
    assert world.batch.snapshot_id is not None
    stream = world.application.streams[world.batch.stream]
    found = world.application.catalog.snapshot(stream, world.batch.snapshot_id)
    assert found is not None
    assert found.origin is not None
    assert found.origin.event_ids == (world.ticks[0].id,)
    assert (found.origin.trace_id, found.origin.sampled) == (world.batch.trace_id, True)
    assert found.origin.coordinates is not None
    assert found.origin.coordinates.topic == world.platform.topic


def commands() -> list[list[str]]:
    """The commands that the page shows, without the program's name."""
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [shlex.split(line, comments=True)[1:] for block in blocks for line in block.splitlines()]


def outline(shown: str) -> list[str]:
    """The first word of every line, without what differs from run to run."""
    words = (re.sub(r"^[\W_]+", "", line).split(maxsplit=1) for line in shown.splitlines())
    return [found[0] for found in words if found]


def of_this_world(world: Traced, words: Sequence[str]) -> list[str]:
    """A command of the page with the ids of this world."""
    ids = {
        "--snapshot": str(world.batch.snapshot_id),
        "--batch": str(world.batch.batch_id),
        "--event": world.ticks[1].id,
    }
    return [ids.get(before, word) for before, word in zip(["", *words], words, strict=False)]


def test_the_commands_of_the_page_lead_to_the_same_event_and_trace(
    world: Traced, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in world.platform.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ICEHAUL_CONFIG", str(world.platform.write()))
    monkeypatch.setenv("COLUMNS", "200")
    (page,) = re.findall(r"```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for words in commands():
        monkeypatch.setattr(sys, "argv", ["icehaul", *of_this_world(world, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capfd.readouterr().out
        assert ended.value.code == 0
        assert str(world.batch.trace_id) in shown, words
        assert world.ticks[0].id in shown, words
        assert (f"event {world.ticks[1].id} was covered by event {world.ticks[0].id}" in shown) == ("--event" in words)
        assert "offload.publish" in shown, words
        assert ("INSERT offload_batches" in shown) == ("--sql" in words or "json" in words), words
        assert f"https://traces.example.net/trace/{world.batch.trace_id}" in shown
        if words == ["trace", "--event", words[-1]]:
            assert outline(shown) == outline(page)
