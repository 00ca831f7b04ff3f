"""Each attempt at a batch is one canonical line of the log, whatever becomes of it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import structlog

from consumer.adapters.telemetry.logs import configure_logging
from consumer.domain.errors import EngineFailedError
from consumer.domain.event import Coordinates
from consumer.domain.stream import Stream
from consumer.settings.connections import TelemetrySettings
from consumer.testing.rows import Row
from consumer.testing.telemetry import MemoryTracing
from tests.unit.service.test_backfill import START, ask, start_world, work
from tests.unit.service.test_offload import FAST, NEVER, World, event, make_stream, rows

FIELDS = {
    *("stream", "batch", "kind", "outcome", "window", "rows", "bytes", "files", "units", "snapshot", "seconds"),
    *("write_seconds", "check_seconds", "publish_seconds", "trigger", "event_at"),
}
AT = Coordinates(topic="icehaul.events", partition=3, offset=41)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What a consumer writes whose standard error is no terminal."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = io.StringIO()
    configure_logging(TelemetrySettings(), stream=written)
    yield written
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def world() -> World:
    return World({"trades": make_stream(retry=replace(FAST, attempts=1))})


def handle(world: World) -> None:
    world.offload().handle(replace(event(), coordinates=AT), NEVER)


def told(log: io.StringIO, name: str = "batch.ended") -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in lines if line["message"] == name]


def test_a_published_batch_is_one_line_with_everything_one_looks_for(world: World, log: io.StringIO) -> None:
    world.insert(*rows(4))
    tracing = MemoryTracing()
    with tracing.tracer.start_as_current_span("process icehaul.events") as span:
        handle(world)
    (line,) = told(log)
    (batch,) = [one for one in world.ledger.batches("trades", 9) if one.snapshot_id]
    assert line.keys() >= FIELDS
    assert (line["level"], line["outcome"], line["kind"]) == ("info", "published", "window")
    assert (line["stream"], line["batch"], line["window"]) == ("trades", str(batch.batch_id), str(batch.window))
    assert (line["rows"], line["bytes"], line["files"]) == (4, batch.bytes, line["units"])
    assert line["units"] == 2, "two units of two rows"
    assert line["snapshot"] == batch.snapshot_id
    assert (line["trigger"], line["event_at"]) == (event().id, "icehaul.events/3@41")
    assert line["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert line["span_id"] == f"{span.get_span_context().span_id:016x}"
    assert 0 <= line["write_seconds"] + line["check_seconds"] + line["publish_seconds"] <= line["seconds"] + 0.002


def test_a_batch_without_rows_is_a_line_too(world: World, log: io.StringIO) -> None:
    handle(world)
    (line,) = told(log)
    assert line.keys() >= FIELDS
    assert (line["outcome"], line["rows"], line["files"], line["snapshot"]) == ("empty", 0, 0, None)
    assert (line["write_seconds"], line["publish_seconds"] is None) == (None, False)


def test_a_batch_that_fails_says_where_and_why(world: World, log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise EngineFailedError("2 of 2 units failed", remedy="look at Spark")

    world.insert(*rows(4))
    monkeypatch.setattr(world.engine, "write", broken)
    handle(world)
    (line,) = told(log)
    assert line.keys() >= FIELDS | {"error_type", "error", "remedy"}
    assert (line["level"], line["outcome"]) == ("warning", "failed")
    assert (line["error_type"], line["error"], line["remedy"]) == (
        "EngineFailedError",
        "2 of 2 units failed",
        "look at Spark",
    )
    assert line["write_seconds"] is not None, "the step that failed has its time"
    assert (line["check_seconds"], line["publish_seconds"], line["snapshot"]) == (None, None, None)


def test_a_defect_in_a_batch_is_told_as_well(world: World, log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    def defective(**_: object) -> None:
        raise KeyError("nowhere")

    world.insert(*rows(4))
    monkeypatch.setattr(world.engine, "write", defective)
    handle(world)
    (line,) = told(log)
    assert (line["outcome"], line["error_type"], line["remedy"]) == ("failed", "KeyError", None)


def test_each_attempt_is_a_line_of_its_own(log: io.StringIO) -> None:
    world = World({"trades": make_stream()})
    world.insert(*rows(4))
    world.arm("batch.before-write=raise@1")
    handle(world)
    assert [line["outcome"] for line in told(log)] == ["failed", "published"]


def test_a_publish_whose_answer_was_lost_is_told_as_published_once_it_is_found(world: World, log: io.StringIO) -> None:
    world.insert(*rows(4))
    world.arm("publish.after-commit=apply-then-raise@1")
    handle(world)
    (line,) = told(log)
    (batch,) = [one for one in world.ledger.batches("trades", 9) if one.snapshot_id]
    assert (line["outcome"], line["snapshot"], line["rows"]) == ("published", batch.snapshot_id, 4)


def test_late_rows_are_a_line_of_the_kind_supplement(world: World, log: io.StringIO) -> None:
    world.source.insert(source_of(world).source, rows(4))
    handle(world)
    late = Row(ts=rows(1)[0].ts, seq=99, value=99)
    world.source.insert(source_of(world).source, [late])
    handle(world)
    assert [(line["kind"], line["outcome"], line["rows"]) for line in told(log)] == [
        ("window", "published", 4),
        ("supplement", "published", 1),
    ]


def test_a_stretch_of_history_without_rows_is_a_line_of_the_kind_backfill(log: io.StringIO) -> None:
    history = start_world()
    ask(history, START - timedelta(days=3), START)
    work(history)
    assert ("backfill", "empty", 0) in [(line["kind"], line["outcome"], line["rows"]) for line in told(log)]


def test_a_batch_whose_rows_go_before_they_are_read_is_told_as_gone(
    world: World, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, write = source_of(world).source, world.engine.write
    world.source.insert(table, rows(4))
    handle(world)
    world.source.insert(table, [Row(ts=rows(1)[0].ts, seq=99, value=99)])

    def write_nothing(**job: Any) -> Any:
        write(**job)
        return []

    monkeypatch.setattr(world.engine, "write", write_nothing)
    handle(world)
    assert [(line["kind"], line["outcome"], line["level"]) for line in told(log)][1] == (
        "supplement",
        "gone",
        "warning",
    )


def source_of(world: World) -> Stream:
    return world.streams["trades"]
