"""Spans quote no secret: not in attributes, not in the exceptions that OpenTelemetry records by itself."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from opentelemetry.util.types import AttributeValue

from consumer.adapters.telemetry.tracing import Tracing
from consumer.domain import secrets
from consumer.domain.secrets import Secrets, remember
from consumer.settings.connections import TelemetrySettings

SECRET = "hunter2-hunter2"


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets._known, "secrets", Secrets())
    remember([SECRET])


def connect() -> None:
    """Fail as a driver does that quotes what it was given."""
    try:
        int(SECRET)
    except ValueError as error:
        raise ValueError(f"the dsn is postgresql://me:{SECRET}@db/x") from error


def test_a_span_is_exported_without_the_secrets_that_it_quotes(tmp_path: Path) -> None:
    lines = tmp_path / "traces.jsonl"
    tracing = Tracing(TelemetrySettings(trace_file=str(lines)), role="consumer")
    attributes: dict[str, AttributeValue] = {
        "said": f"it is {SECRET}",
        "list": [SECRET, "x"],
        "count": 3,
        "numbers": [1, 2],
    }
    with suppress(ValueError), tracing.tracer.start_as_current_span("offload", attributes=attributes) as span:
        span.add_event("refused", {"answer": f"password={SECRET}"})
        connect()
    tracing.shutdown()
    text = lines.read_text(encoding="utf-8")
    assert SECRET not in text
    for kept in ('"name":"offload"', "it is ***", '"intValue":"3"', "Traceback", "the dsn is postgresql://me:***@db/x"):
        assert kept in text
