"""Logs: one format for all, traceable, without secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from pydantic import SecretStr

from consumer.adapters.telemetry.logs import configure_logging
from consumer.adapters.telemetry.redaction import scrub
from consumer.domain import secrets
from consumer.domain.secrets import Secrets
from consumer.settings.connections import TelemetrySettings
from consumer.testing.telemetry import MemoryTracing


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_line_is_json_where_there_is_no_terminal_whoever_wrote_it() -> None:
    stream = io.StringIO()
    configure_logging(TelemetrySettings(), stream=stream)
    structlog.get_logger("consumer.here").info("batch.published", rows=5)
    logging.getLogger("some.library").warning("odd %s", "thing")
    ours, theirs = lines(stream)
    assert (ours["message"], ours["rows"], ours["level"], ours["logger"]) == (
        "batch.published",
        5,
        "info",
        "consumer.here",
    )
    assert str(ours["timestamp"]).endswith("Z")
    assert (theirs["message"], theirs["level"]) == ("odd thing", "warning")


def test_the_console_format_is_for_people() -> None:
    stream = io.StringIO()
    configure_logging(TelemetrySettings(log_format="console"), stream=stream)
    structlog.get_logger("consumer").info("batch.published", rows=5)
    assert "batch.published" in stream.getvalue()
    assert "rows=5" in stream.getvalue()


def test_lines_inside_a_span_carry_its_ids() -> None:
    stream = io.StringIO()
    configure_logging(TelemetrySettings(), stream=stream)
    with MemoryTracing().tracer.start_as_current_span("work") as span:
        structlog.get_logger().info("inside")
    structlog.get_logger().info("outside")
    inside, outside = lines(stream)
    assert inside["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert inside["span_id"] == f"{span.get_span_context().span_id:016x}"
    assert "trace_id" not in outside


def test_the_level_is_obeyed_and_noisy_libraries_are_quieter() -> None:
    stream = io.StringIO()
    configure_logging(TelemetrySettings(log_level="info"), stream=stream)
    structlog.get_logger().debug("hidden")
    logging.getLogger("py4j.clientserver").info("Closing down clientserver connection")
    logging.getLogger("pyiceberg.table").info("chatter")
    structlog.get_logger().info("shown")
    assert [line["message"] for line in lines(stream)] == ["shown"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_secret_reaches_the_log(log_format: str) -> None:
    stream = io.StringIO()
    configure_logging(TelemetrySettings.model_validate({"log_format": log_format}), stream=stream)
    log = structlog.get_logger()
    log.info("a", password="hunter2", secret_key=SecretStr("hunter2"), anything=SecretStr("hunter2"))
    log.info(
        "b", dsn="postgresql://me:hunter2@db/x", nested={"sasl.password": "hunter2", "deep": [{"token": "hunter2"}]}
    )
    log.info("connecting to postgresql://me:hunter2@db:5432/x with password=hunter2 and secret_key: 'hunter2'")
    logging.getLogger("library").warning("Authorization: Basic hunter2")
    log.error("failed", exc_info=ValueError("http://user:hunter2@host/?X-Amz-Signature=hunter2&x=1"))
    written = stream.getvalue()
    assert written.count("***") >= 8
    assert "hunter2" not in written


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_secret_that_this_process_knows_is_hidden_whatever_stands_around_it(
    log_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets._known, "secrets", Secrets(["hunter2-hunter2"]))
    stream = io.StringIO()
    configure_logging(TelemetrySettings.model_validate({"log_format": log_format}), stream=stream)
    logging.getLogger("library").warning("I was given %s", "hunter2-hunter2")
    structlog.get_logger().error("failed", exc_info=ValueError("no hunter2-hunter2 here"), given=["hunter2-hunter2"])
    written = stream.getvalue()
    assert written.count("***") >= 3
    assert "hunter2" not in written


def test_what_is_no_secret_is_left_as_it_is() -> None:
    for text in ("tokens are fine", "http://host:8123/path", "s3://bucket/key", "offset=5, rows: 7", "primary key=id"):
        assert scrub(text) == text
