"""Traces: to a collector by OTLP, to lines of OTLP/JSON, and back as a tree."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from opentelemetry.trace import Link, NonRecordingSpan, SpanKind, Tracer, set_span_in_context
from rich.console import Console

from consumer.adapters.telemetry.trace_tree import draw_trace, handling_of_event, read_spans, render_trace
from consumer.adapters.telemetry.tracing import Tracing
from consumer.settings.connections import TelemetrySettings
from tests.support.otlp import Collector, receiving


@pytest.fixture
def collector() -> Iterator[Collector]:
    with receiving() as server:
        yield server


def a_story(tracer: Tracer) -> str:
    """Trace one event and return the trace's id."""
    with (
        tracer.start_as_current_span("send events", kind=SpanKind.PRODUCER) as send,
        tracer.start_as_current_span(
            "process events", kind=SpanKind.CONSUMER, links=[Link(send.get_span_context())]
        ) as process,
    ):
        process.set_attribute("messaging.kafka.offset", 7)
        with tracer.start_as_current_span("offload.publish") as publish:
            publish.set_attribute("offload.rows", 23_465)
            publish.set_attribute("ratio", 0.5)
            publish.set_attribute("empty", value=False)
            publish.set_attribute("names", ["a", "b"])
        tracer.start_span("offload.unit", start_time=1_000_000_000).end(3_500_000_000)
        with pytest.raises(ZeroDivisionError), tracer.start_as_current_span("offload.check"):
            raise ZeroDivisionError
    return f"{send.get_span_context().trace_id:032x}"


@pytest.mark.parametrize("suffix", ["", "/", "/v1/traces"])
def test_spans_reach_an_otlp_collector(collector: Collector, suffix: str) -> None:
    tracing = Tracing(TelemetrySettings(otlp_endpoint=collector.url + suffix), role="consumer")
    trace_id = a_story(tracing.tracer)
    assert tracing.flush()
    tracing.shutdown()
    assert {request.path for request in collector.requests} == {"/v1/traces"}
    assert {request.headers["Content-Type"] for request in collector.requests} == {"application/x-protobuf"}
    spans = collector.spans()
    assert len(spans) == 5
    assert {span.trace_id for span in spans} == {trace_id}
    resource = spans[0].resource
    assert (resource["service.name"], resource["service.namespace"]) == ("icehaul-consumer", "icehaul")
    assert resource.keys() >= {"service.version", "service.instance.id", "host.name"}
    assert resource["process.pid"] == os.getpid()


def test_a_collector_that_is_gone_does_not_stop_the_work_or_the_end(collector: Collector) -> None:
    url = collector.url
    collector.server_close()
    tracing = Tracing(TelemetrySettings(otlp_endpoint=url), role="consumer")
    assert a_story(tracing.tracer)
    tracing.flush(1)
    tracing.shutdown()


def test_the_trace_file_is_what_a_collector_reads(tmp_path: Path) -> None:
    file = tmp_path / "made" / "traces.jsonl"
    tracing = Tracing(TelemetrySettings(trace_file=str(file)), role="consumer")
    trace_id = a_story(tracing.tracer)
    tracing.shutdown()
    requests = [json.loads(line) for line in file.read_text().splitlines()]
    spans = [
        span
        for request in requests
        for found in request["resourceSpans"]
        for scope in found["scopeSpans"]
        for span in scope["spans"]
    ]
    by_name = {span["name"]: span for span in spans}
    assert {span["traceId"] for span in spans} == {trace_id}
    assert by_name["send events"]["kind"] == 4
    assert by_name["send events"]["parentSpanId"] == ""
    assert by_name["process events"]["parentSpanId"] == by_name["send events"]["spanId"]
    assert by_name["process events"]["links"][0]["spanId"] == by_name["send events"]["spanId"]
    assert by_name["offload.unit"]["startTimeUnixNano"] == "1000000000"
    assert by_name["offload.check"]["status"]["code"] == 2
    assert by_name["offload.check"]["events"][0]["name"] == "exception"
    values = {pair["key"]: pair["value"] for pair in by_name["offload.publish"]["attributes"]}
    assert values["offload.rows"] == {"intValue": "23465"}
    assert values["ratio"] == {"doubleValue": 0.5}
    assert values["empty"] == {"boolValue": False}
    assert values["names"]["arrayValue"]["values"][1] == {"stringValue": "b"}


def draw(paths: list[Path], trace_id: str, *, downstream: bool = False) -> str:
    """Draw a trace on a wide console."""
    console = Console(file=io.StringIO(), width=160)
    with console.capture() as capture:
        console.print(render_trace(paths, trace_id, downstream=downstream))
    return capture.get()


def test_a_trace_is_drawn_as_a_tree_from_the_files_of_several_processes(tmp_path: Path) -> None:
    producer = Tracing(TelemetrySettings(trace_file=str(tmp_path / "emitter.jsonl")), role="emitter")
    consumer = Tracing(TelemetrySettings(trace_file=str(tmp_path / "consumer.jsonl")), role="consumer")
    with producer.tracer.start_as_current_span("send events") as send:
        trace_id = f"{send.get_span_context().trace_id:032x}"
        with consumer.tracer.start_as_current_span("process events") as process:
            process.set_attribute("offload.rows", 23_465)
            consumer.tracer.start_span("offload.unit", start_time=1_000_000_000).end(3_500_000_000)
    a_story(consumer.tracer)  # another trace, which does not belong into the picture
    producer.shutdown()
    consumer.shutdown()
    with (tmp_path / "consumer.jsonl").open("a") as file:
        file.write('{"resourceSpans": [{"resou')  # killed while it wrote
    drawn = draw(sorted(tmp_path.glob("*.jsonl")), trace_id)
    assert trace_id in drawn
    assert "icehaul-emitter" in drawn
    assert "23,465 rows" in drawn
    assert "2.50 s" in drawn
    assert "offload.publish" not in drawn
    assert drawn.index("send events") < drawn.index("process events") < drawn.index("offload.unit")


def test_what_happens_in_dependent_streams_is_one_line_unless_it_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    tracing = Tracing(TelemetrySettings(trace_file=str(file)), role="consumer")
    with tracing.tracer.start_as_current_span("send events") as send:
        trace_id = f"{send.get_span_context().trace_id:032x}"
        with tracing.tracer.start_as_current_span("process events"):
            a_story(tracing.tracer)
            a_story(tracing.tracer)
    tracing.shutdown()
    folded, whole = draw([file], trace_id), draw([file], trace_id, downstream=True)
    assert "events to dependent streams: 2, with 10 spans" in folded
    assert "offload.publish" not in folded
    assert whole.count("offload.publish") == 2


def test_a_line_does_not_repeat_what_one_above_it_says_of_stream_batch_and_process(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    tracing = Tracing(TelemetrySettings(trace_file=str(file)), role="consumer")
    with tracing.tracer.start_as_current_span("process events") as process:
        trace_id = f"{process.get_span_context().trace_id:032x}"
        for name, stream in (("offload.write", "trades"), ("offload.publish", "trades"), ("offload.claim", "bars")):
            with tracing.tracer.start_as_current_span(name) as span:
                span.set_attributes({"offload.stream": stream, "offload.rows": 7})
    tracing.shutdown()
    drawn = draw([file], trace_id)
    assert [drawn.count(word) for word in ("trades", "bars", "icehaul-consumer", "7 rows")] == [1, 1, 1, 3]


def test_statements_of_sql_are_one_line_unless_they_are_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    tracing = Tracing(TelemetrySettings(trace_file=str(file)), role="consumer")
    with tracing.tracer.start_as_current_span("offload.plan") as plan:
        for name in ("SELECT db.trades", "UPDATE offload_watermarks"):
            with tracing.tracer.start_as_current_span(name, attributes={"db.system.name": "postgresql"}):
                pass
    tracing.shutdown()
    (spans, trace_id) = read_spans([file]), f"{plan.get_span_context().trace_id:032x}"
    console = Console(file=io.StringIO(), width=160)
    for statements, shown in ((False, 0), (True, 1)):
        with console.capture() as capture:
            console.print(draw_trace(spans, statements=statements))
        assert capture.get().count("UPDATE offload_watermarks") == shown
        assert ("statements of SQL: 2, " in capture.get()) is not statements
        assert trace_id in capture.get()


def test_an_event_is_found_where_it_was_handled_even_if_another_one_covered_it(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    tracing = Tracing(TelemetrySettings(trace_file=str(file)), role="consumer")
    sends = {}
    for event in ("tick-1", "tick-2", "tick-3"):
        with tracing.tracer.start_as_current_span("send events", attributes={"messaging.message.id": event}) as sent:
            sends[event] = sent.get_span_context()
    tracing.tracer.start_span(
        "process events",
        context=set_span_in_context(NonRecordingSpan(sends["tick-1"])),
        attributes={"messaging.message.id": "tick-1"},
        links=[Link(sends[event], {"messaging.message.id": event}) for event in ("tick-1", "tick-2")],
    ).end()
    tracing.shutdown()
    found = {event: handling_of_event([file], event) for event in (*sends, "tick-4")}
    assert {event: None if span is None else (span.name, span.trace_id) for event, span in found.items()} == {
        "tick-1": ("process events", f"{sends['tick-1'].trace_id:032x}"),
        "tick-2": ("process events", f"{sends['tick-1'].trace_id:032x}"),
        "tick-3": ("send events", f"{sends['tick-3'].trace_id:032x}"),
        "tick-4": None,
    }


def test_several_writers_of_one_file_do_not_mix_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"

    def write(_number: int) -> None:
        tracing = Tracing(TelemetrySettings(trace_file=str(file)), role="consumer")
        for _ in range(50):
            a_story(tracing.tracer)
        tracing.shutdown()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert len(read_spans([file])) == 4 * 50 * 5


def test_sampling_follows_the_parent_and_the_ratio(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    tracing = Tracing(TelemetrySettings(trace_file=str(file), sample_ratio=0.0), role="consumer")
    a_story(tracing.tracer)
    tracing.shutdown()
    assert not file.exists()


def test_an_unknown_trace_is_an_empty_tree(tmp_path: Path) -> None:
    assert "no spans" in draw([tmp_path / "never-written.jsonl"], "0" * 32)


@pytest.mark.parametrize(
    ("configured", "shown"),
    [("icehaul", "icehaul-consumer"), ("icehaul-consumer-1", "icehaul-consumer-1"), ("lake", "lake-consumer")],
)
def test_the_service_name_tells_the_role_once(tmp_path: Path, configured: str, shown: str) -> None:
    file = tmp_path / "traces.jsonl"
    tracing = Tracing(TelemetrySettings(trace_file=str(file), service_name=configured), role="consumer")
    a_story(tracing.tracer)
    tracing.shutdown()
    assert {span.service for span in read_spans([file])} == {shown}


def test_a_trace_file_on_a_full_disk_is_told_once_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    tracing = Tracing(TelemetrySettings(trace_file="/dev/full"), role="consumer")
    for _ in range(3):
        assert a_story(tracing.tracer)
        tracing.flush()
    tracing.shutdown()
    (told,) = [record.getMessage() for record in caplog.records if "telemetry.trace_file" in record.getMessage()]
    assert "/dev/full" in told
    assert "No space left on device" in told
    assert "free space there" in told


def test_a_line_that_a_full_disk_took_half_of_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "traces.jsonl"
    tracing = Tracing(TelemetrySettings(trace_file=str(file)), role="consumer")
    stories, write = [], os.write
    for number in range(3):
        with monkeypatch.context() as patch:
            if number == 1:
                patch.setattr(os, "write", lambda to, data: write(to, data[: len(data) // 2]))
            stories.append(a_story(tracing.tracer))
            tracing.flush()
    tracing.shutdown()
    read = {span.trace_id for span in read_spans([file])}
    assert read == {stories[0], stories[2]}
    lost, again = [record.getMessage() for record in caplog.records if "telemetry.trace_file" in record.getMessage()]
    assert "spans are lost" in lost
    assert "5 spans were lost" in again
