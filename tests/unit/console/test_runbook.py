"""Whatever is wrong with a stream, the page that is named is about it, and exists."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from consumer.entrypoints.console.files import documentation
from consumer.ports import StreamRecord, StreamState
from consumer.service.console.runbook import PAGES, runbook

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime(2026, 3, 2, tzinfo=UTC)


def halted(reason: str, remedy: str) -> StreamRecord:
    known = StreamRecord.unseen("trades", NOW)
    values = {name: getattr(known, name) for name in StreamRecord.__slots__}
    return StreamRecord(**{**values, "state": StreamState.HALTED, "halt_reason": reason, "halt_remedy": remedy})


def test_every_page_that_can_be_named_is_a_runbook() -> None:
    for page in PAGES:
        assert documentation(page) == (ROOT / "docs" / "runbooks" / f"{page}.md").read_text("utf-8")


def test_runbooks_and_how_to_pages_are_shown_by_names_that_only_one_of_them_has() -> None:
    pages = [page.stem for folder in ("runbooks", "how-to") for page in (ROOT / "docs" / folder).glob("*.md")]
    assert len(set(pages)) == len(pages)
    assert all(documentation(page) for page in pages)
    assert documentation("threat-model") is None


@pytest.mark.parametrize(
    ("reason", "remedy", "page"),
    [
        ("paused by me@host: the disk is moved", "find out whether the reason is gone", "offload-failure-recovery"),
        ("the table was rolled back", "run `icehaul repair trades`", "data-consistency-audit"),
        ("the table is unknown", "icehaul recover trades; see icehaul repair", "restore-and-disaster-recovery"),
        ("rows were changed", "icehaul replace trades --from …", "data-consistency-audit"),
        ("column price is gone", "renamed_columns: …; see docs/how-to/change-a-schema.md", "schema-change"),
        ("the ledger's tables are of another version", "run `icehaul migrate`", "upgrade-and-rollback"),
        ("something new", "look at the log", "offload-failure-recovery"),
    ],
)
def test_a_halt_leads_to_the_runbook_of_what_its_remedy_names(reason: str, remedy: str, page: str) -> None:
    assert runbook(halted(reason, remedy), latest=None, findings=3, in_danger=False) == page


def test_danger_comes_before_everything_and_a_stream_that_is_well_has_no_page() -> None:
    well = StreamRecord.unseen("trades", NOW)
    repair = halted("the table was rolled back", "run `icehaul repair trades`")
    assert runbook(repair, latest=None, findings=3, in_danger=True) == "retention-at-risk"
    assert runbook(well, latest=None, findings=3, in_danger=True) == "retention-at-risk"
    assert runbook(well, latest=None, findings=3, in_danger=False) == "data-consistency-audit"
    assert runbook(well, latest=None, findings=0, in_danger=False) is None
    assert runbook(None, latest=None, findings=0, in_danger=False) is None
