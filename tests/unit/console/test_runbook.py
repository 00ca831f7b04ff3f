"""Whatever is wrong with a stream, the page that is named is about it, and exists."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from consumer.entrypoints.console.files import how_to
from consumer.ports import StreamRecord, StreamState
from consumer.service.console.runbook import PAGES, runbook

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime(2026, 3, 2, tzinfo=UTC)


def halted(reason: str, remedy: str) -> StreamRecord:
    known = StreamRecord.unseen("trades", NOW)
    values = {name: getattr(known, name) for name in StreamRecord.__slots__}
    return StreamRecord(**{**values, "state": StreamState.HALTED, "halt_reason": reason, "halt_remedy": remedy})


def test_every_page_that_can_be_named_is_one_of_the_how_to_pages() -> None:
    for page in PAGES:
        assert how_to(page) == (ROOT / "docs" / "how-to" / f"{page}.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("reason", "remedy", "page"),
    [
        ("paused by me@host: the disk is moved", "find out whether the reason is gone", "pause-a-stream"),
        ("the table was rolled back", "run `icehaul repair trades`", "repair-a-stream"),
        ("rows were changed", "icehaul replace trades --from …", "replace-changed-rows"),
        ("something new", "look at the log", "check-a-setup"),
    ],
)
def test_a_halt_leads_to_the_page_of_the_command_that_its_remedy_names(reason: str, remedy: str, page: str) -> None:
    assert runbook(halted(reason, remedy), latest=None, findings=3, in_danger=True) == page


def test_danger_comes_before_findings_and_a_stream_that_is_well_has_no_page() -> None:
    well = StreamRecord.unseen("trades", NOW)
    assert runbook(well, latest=None, findings=3, in_danger=True) == "check-a-setup"
    assert runbook(well, latest=None, findings=3, in_danger=False) == "replace-changed-rows"
    assert runbook(well, latest=None, findings=0, in_danger=False) is None
    assert runbook(None, latest=None, findings=0, in_danger=False) is None
