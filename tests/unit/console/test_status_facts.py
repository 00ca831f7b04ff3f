"""`icehaul status --watch` tells in a terminal what the console shows."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta

from rich.console import Console

from consumer.domain.batch import BatchStatus
from consumer.domain.retention import Outlook
from consumer.entrypoints.cli.status_view import status_data, status_text
from consumer.entrypoints.console.data import stream_data
from consumer.service.console.viewing import Viewing
from consumer.service.status import StreamStatus
from tests.support.console_ledger import console_streams
from tests.support.memory_history import NOW, MemoryHistory, batch

OUTLOOK = Outlook(now=NOW, lowest=NOW, at=NOW + timedelta(hours=2), clause="ts + toIntervalDay(90)")


def status(halted: str | None = None, *, error: str | None = None) -> StreamStatus:
    """The status of one stream; the console's view of it is made from the same record."""
    history = MemoryHistory()
    if halted is not None:
        history.halted["stream_000"] = halted
    _, summaries = history.summaries(["stream_000"])
    record = summaries["stream_000"].record
    latest = batch("stream_000", 1)
    if error is not None:
        latest = replace(latest, status=BatchStatus.FAILED, error=error, snapshot_id=None)
    return StreamStatus(
        stream=console_streams()["stream_000"],
        record=record,
        lag=NOW - record.watermark,
        batches=[latest],
        parked=0,
        outlook=OUTLOOK,
    )


def text(one: StreamStatus) -> str:
    shown = io.StringIO()
    Console(file=shown, width=200).print(status_text(NOW, [one], detailed=True))
    return shown.getvalue()


def test_a_terminal_shows_state_reason_remedy_and_page_of_a_halted_stream() -> None:
    shown = text(status("the table was rolled back"))
    for fact in (
        "halted",
        "the table was rolled back",
        "icehaul repair it",
        "runbook: docs/runbooks/retention-at-risk.md",
    ):
        assert fact in shown
    for fact in ("2026-03-02 11:00:00", "1h", "2h", str(2**62 + 1)):
        assert fact in shown


def test_a_terminal_shows_why_the_last_batch_failed_and_nothing_of_a_page_where_all_is_well() -> None:
    failed = replace(status(error="no space left on device"), outlook=None)
    assert "the last batch failed: no space left on device" in text(failed)
    assert "runbook: docs/runbooks/offload-failure-recovery.md" in text(failed)
    assert "runbook" not in text(replace(status(), outlook=None))


def test_status_as_json_has_every_fact_of_the_console() -> None:
    history = MemoryHistory()
    history.halted["stream_000"] = "the table was rolled back"
    viewing = Viewing(streams=console_streams(), history=history, outlook=lambda _stream: OUTLOOK)
    found = viewing.stream("stream_000")
    assert found is not None
    console = stream_data(found[1])
    terminal = status_data(NOW, [status("the table was rolled back")])["streams"][0]
    # Counts there are lists here, and the latest batch is the first of them.
    named = {"open_findings": "findings", "open_backfills": "backfills", "latest": "batches"}
    assert {named.get(fact, fact) for fact in console} <= terminal.keys()
    for fact in console.keys() - named.keys():
        assert terminal[fact] == console[fact], fact
