"""Every runbook is whole, is followed by a test, and is found from an alert; and a page that lies is caught."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.ops_files import alerts
from tests.support.runbook_recording import recorded
from tests.support.runbooks import (
    ROOT,
    RUNBOOKS,
    SECTIONS,
    Runbook,
    RunbookError,
    Said,
    agrees,
    blocks,
    followed,
    words,
)

PAGES = [pytest.param(page, id=page.stem) for page in sorted(RUNBOOKS.iterdir())]
FOLLOWED = "\n".join(test.read_text("utf-8") for test in (ROOT / "tests/integration/cli/runbooks").glob("test_*.py"))
SUBJECTS = """
offload-failure-recovery watermark-management iceberg-compaction data-consistency-audit performance-troubleshooting
consumer-group-trouble dead-letters schema-change retention-at-risk restore-and-disaster-recovery upgrade-and-rollback
"""
TABLE = """
┏━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━┳━━━━━━┓
┃ stream ┃ watermark (UTC)     ┃ rows ┃
┡━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━╇━━━━━━┩
│ trades │ 2026-11-27 02:43:59 │    7 │
└────────┴─────────────────────┴──────┘
snapshot 3524535255876647330, in 1.5 s
"""


def test_there_is_a_runbook_for_each_subject() -> None:
    assert {page.stem for page in RUNBOOKS.iterdir()} == set(SUBJECTS.split())


@pytest.mark.parametrize("page", PAGES)
def test_a_runbook_has_its_sections_in_order_and_no_other(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text("utf-8"), re.MULTILINE)
    assert tuple(headings) == SECTIONS


@pytest.mark.parametrize("page", PAGES)
def test_a_runbook_shows_what_to_do_and_what_is_said(page: Path) -> None:
    text = page.read_text("utf-8")
    for section, least in (("Diagnosis", {"bash", "text"}), ("Repair", set()), ("Verification", {"bash", "text"})):
        steps = {block.language for block in blocks(text.split(f"\n## {section}\n")[1].split("\n## ")[0])}
        assert steps, section
        assert steps >= least, section
    assert {block.language for block in blocks(text)} <= {"bash", "text", "yaml"}
    assert all(block.text.strip() for block in blocks(text))


@pytest.mark.parametrize("page", PAGES)
def test_a_runbook_that_changes_the_configuration_says_how_consumers_get_to_know_it(page: Path) -> None:
    for part in re.split(r"^#+ ", page.read_text("utf-8"), flags=re.MULTILINE):
        assert "```yaml" not in part or "SIGHUP" in part, part.splitlines()[0]


@pytest.mark.parametrize("page", PAGES)
def test_a_runbook_is_followed_by_a_test(page: Path) -> None:
    assert f'runbook("{page.name}")' in FOLLOWED


@pytest.mark.parametrize("page", PAGES)
def test_a_runbook_names_the_alerts_that_lead_to_it(page: Path) -> None:
    symptom = page.read_text("utf-8").split("\n## Impact\n")[0]
    own = set(re.findall(r"^### (\w+)$", symptom, re.MULTILINE))
    leading = {
        rule["alert"] for rule in alerts() if Path(rule["annotations"]["runbook_url"]).name.startswith(page.name)
    }
    assert own == leading
    assert own or re.search(r"\[(Icehaul\w+)\]\([\w-]+\.md#icehaul\w+\)", symptom)


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("watermark …, lag …", "watermark 2026-11-27 02:43:59.123456, lag 12d 3h"),
        ("batch …-… of … bytes", "batch 33e66c9d-f37c of 2,561 bytes"),
        ("│ trades │ … │", "│ trades   │ 7.5 KiB │\n└──────┘"),
        ("one\n…\nfour", "one\ntwo three\nfour"),
        ("one\n…", "one"),
        ("a long line\nthat is broken", "a long\nline that is broken"),
    ],
)
def test_what_differs_from_run_to_run_is_left_open(shown: str, said: str) -> None:
    assert agrees(shown, said)


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("2 rows at …", "3 rows at 2026-11-27 02:43:59"),
        ("state active", "state active\nand something more"),
        ("one\n…\nfour", "one\ntwo\nfive"),
        ("batch … failed", "batch 33e66c9d was published and has failed"),
        ("rows …", "rows"),
        ("", "something"),
    ],
)
def test_a_page_that_shows_something_else_is_caught(shown: str, said: str) -> None:
    assert not agrees(shown, said)


def test_what_is_recorded_agrees_with_what_was_said() -> None:
    shown = recorded(TABLE)
    assert agrees(shown, TABLE)
    assert "3524535255876647330" not in shown
    assert "2026" not in shown
    assert "trades │ …               │    7" in shown


def opened(page: Path, text: str, said: Said) -> Runbook:
    def program(arguments: Sequence[str]) -> Said:
        return Said(f"{said.out} of {' '.join(arguments)}", said.code)

    page.write_text(text, encoding="utf-8")
    return Runbook(page=page, names={"market.": "t_1."}, programs={"look": program}, configure=lambda _: None)


def test_a_page_is_followed_under_the_names_that_things_have_here(tmp_path: Path) -> None:
    text = "# A\n## Look\n```bash\nlook market.trades\n```\n```text\n5 of market.trades\n```\n"
    with followed(opened(tmp_path / "page.md", text, Said("5"))) as page:
        assert words(page.follow("Look")) == "5 of market.trades"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("# A\n## Look\n```bash\nlook x\n```\n```text\n6 of x\n```\n", "shows under 'Look'"),
        ("# A\n## Look\n```bash\nlook x  # exit code 1\n```\n", "ended with 0, not 1"),
        ("# A\n## Look\n```bash\nlook x\n```\n## Repair\n```bash\nlook y\n```\n", "nobody has followed"),
        ("# A\n## Repair\n```bash\nlook x\n```\n", "has nothing to do under 'Look'"),
        ("# A\n## Look\n```sql\nSELECT 1\n```\n", "nobody knows what to do"),
    ],
)
def test_a_page_that_lies_or_is_left_in_the_middle_fails_its_test(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(RunbookError, match=named), followed(opened(tmp_path / "page.md", text, Said("5"))) as page:
        page.follow("Look")
