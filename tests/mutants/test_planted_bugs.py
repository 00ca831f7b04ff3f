"""The planted bugs themselves: each still applies, is a program, and is described; a few are tried in full."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from rich.console import Console

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.migrations import migrate
from consumer.settings.connections import PostgresSettings
from tests.mutants import report
from tests.mutants.__main__ import PAGE, ROOT, UnsoundTreeError, try_bugs
from tests.mutants.bug import Bug, Edit, StaleBugError
from tests.mutants.catalogue import BUGS
from tests.mutants.trial import Outcome, Verdict
from tests.support.postgres_server import running_postgres

TRIED = ("window_closed_on_both_ends", "no_fence", "halting_event_not_parked")
"""Bugs that are tried in full with each run of the suite: they need no server."""

HARMLESS = Bug(
    name="harmless",
    breaks="Nothing: another word for the same.",
    edits=(
        Edit(file="consumer/domain/fingerprint.py", before='f"{self.digest:016x}"', after='f"{self.digest:0>16x}"'),
    ),
    tests=("tests/unit/domain/test_fingerprint.py",),
)


def planted(*names: str) -> list[Bug]:
    return [bug for bug in BUGS if bug.name in names]


@pytest.mark.parametrize("bug", [pytest.param(bug, id=bug.name) for bug in BUGS])
def test_every_bug_still_applies_and_yields_a_program(bug: Bug) -> None:
    for file, text in bug.changed(ROOT).items():
        assert text != (ROOT / file).read_text("utf-8")
        if file.endswith(".py"):
            compile(text, file, "exec")


def test_no_planted_bug_refers_to_a_name_that_is_not_there(tmp_path: Path) -> None:
    for bug in BUGS:
        for file, text in bug.changed(ROOT).items():
            if file.endswith(".py"):
                (tmp_path / f"{bug.name}-{Path(file).name}").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821,F823", str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def statements() -> Iterator[tuple[str, str]]:
    for bug in BUGS:
        for file, text in bug.changed(ROOT).items():
            # ClickHouse's statements, and grants, are tried by the tests that have to notice their bugs.
            if file.endswith(".sql") and "clickhouse" not in file and not file.startswith("ops/"):
                for part in re.split(r"^-- name: .*$", text, flags=re.MULTILINE):
                    if part.strip():
                        yield bug.name, part


def test_the_sql_of_planted_bugs_is_valid() -> None:
    with running_postgres() as server:
        dsn = server.create_database()
        with Database(PostgresSettings(dsn=SecretStr(dsn))) as database:
            migrate(database)
        with psycopg.connect(dsn, autocommit=True) as connection:
            for number, (name, text) in enumerate(statements()):
                parameters = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", text)))
                for position, parameter in enumerate(parameters, start=1):
                    text = text.replace(f"%({parameter})s", f"${position}")  # noqa: PLW2901
                try:
                    connection.execute(f"PREPARE bug_{number} AS {text}".encode())
                except psycopg.Error as error:
                    pytest.fail(f"{name}: {error}\n{text}")


def test_names_and_sentences_are_unique_and_complete() -> None:
    assert len(BUGS) >= 20
    assert max(Counter(bug.name for bug in BUGS).values()) == 1
    assert max(Counter(bug.breaks for bug in BUGS).values()) == 1
    for bug in BUGS:
        assert bug.breaks.endswith(".")
        assert bug.tests
        assert all((ROOT / test.partition("::")[0]).is_file() for test in bug.tests)


def test_the_page_lists_every_bug_as_caught() -> None:
    page = PAGE.read_text("utf-8")
    assert f"\n{len(BUGS)} of {len(BUGS)} planted bugs are caught.\n" in page
    for bug in BUGS:
        assert f"| {bug.name.replace('_', ' ')} | {bug.breaks} | " in page


def test_a_bug_whose_code_has_changed_can_not_be_planted_unnoticed(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    bug = Bug(name="b", breaks="B.", edits=(Edit(file="a.py", before="x = 1\n", after=""),), tests=())
    for text in ("x = 2\n", "x = 1\nx = 1\n"):
        file.write_text(text)
        with pytest.raises(StaleBugError, match=r"a\.py: found [02] times"):
            bug.plant(tmp_path)
        assert file.read_text() == text


# ------------------------------------------------------------------------------------ whole trials


@pytest.mark.thorough
def test_planted_bugs_are_caught_and_a_harmless_change_is_not(tmp_path: Path) -> None:
    outcomes = try_bugs([*planted(*TRIED), HARMLESS], tmp_path, Console(file=io.StringIO()))
    assert {one.name: one.verdict for one in outcomes} == {
        **dict.fromkeys(TRIED, Verdict.CAUGHT),
        "harmless": Verdict.SURVIVED,
    }
    assert list((tmp_path / "trees").iterdir()) == []


def test_tests_that_fail_without_a_bug_prove_nothing(tmp_path: Path) -> None:
    (bug,) = planted("no_fence")
    gone = Bug(name="gone", breaks="B.", edits=bug.edits, tests=("tests/unit/domain/test_fingerprint.py::test_gone",))
    with pytest.raises(UnsoundTreeError):
        try_bugs([gone], tmp_path, Console(file=io.StringIO()))


def outcome(name: str, verdict: Verdict) -> Outcome:
    return Outcome(name=name, verdict=verdict, by="tests/a.py::test_that_it_holds[x]", why="assert 1 == 2", seconds=1.0)


def test_the_report_counts_what_was_caught_and_names_the_rest(tmp_path: Path) -> None:
    bugs = planted("no_fence", "settle_lag_ignored", "digest_check_skipped")
    verdicts = (Verdict.CAUGHT, Verdict.SURVIVED, Verdict.BROKEN)
    outcomes = [outcome(bug.name, verdict) for bug, verdict in zip(bugs, verdicts, strict=True)]
    survivors = [bug.name for bug in bugs[1:]]
    report.write(tmp_path / "report.json", outcomes)
    written = json.loads((tmp_path / "report.json").read_text())
    assert (written["planted"], written["caught"], written["survivors"]) == (3, 1, survivors)

    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{report.BEGIN}\nold\n{report.END}\n\nEnd.\n")
    report.replace_table(page, report.table(bugs, {one.name: one for one in outcomes}))
    text = page.read_text()
    assert text.startswith(f"# Title\n\n{report.BEGIN}\n\n1 of 3 planted bugs are caught.\n")
    assert "| `a.py`: that it holds |\n" in text
    assert "**survived**" in text
    assert text.endswith(f"{report.END}\n\nEnd.\n")

    shown = io.StringIO()
    report.show(Console(file=shown, width=200), outcomes)
    assert "1 of 3 planted bugs caught" in shown.getvalue()
