"""The report of the crash matrix counts what was lost, and its page shows every point."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.matrix.cases import Case, LeftOut, matrix
from tests.matrix.judge import Verdict
from tests.matrix.play import Outcome
from tests.matrix.report import BEGIN, END, Report

CASES = [one for one in matrix() if isinstance(one, Case)]
LEFT_OUT = [one for one in matrix() if isinstance(one, LeftOut)]


def verdict(*, lost: int = 0, doubled: int = 0) -> Verdict:
    problems = ("rows differ",) if lost or doubled else ()
    found = 1200 - lost + doubled
    return Verdict(expected=1200, found=found, lost=lost, doubled=doubled, orphans=1, problems=problems)


def outcome(case: Case, found: Verdict | None, recovery: float | None = None) -> Outcome:
    problems = ("it did not end",) if found is None else found.problems
    return Outcome(case=case, problems=problems, seconds=12.34, verdict=found, recovery=recovery)


def report(*outcomes: Outcome) -> Report:
    return Report(outcomes=outcomes, left_out=LEFT_OUT, command="make crash-matrix", machine="here", seconds=90)


def test_lost_and_doubled_rows_and_failed_cases_are_counted(tmp_path: Path) -> None:
    made = report(
        outcome(CASES[0], verdict(), recovery=5.0),
        outcome(CASES[1], verdict(lost=3), recovery=7.0),
        outcome(CASES[2], verdict(doubled=2)),
        outcome(CASES[3], None, recovery=6.0),
    )
    made.write(tmp_path / "report.json")
    found = json.loads((tmp_path / "report.json").read_text())
    assert {name: found[name] for name in ("cases", "lost", "doubled", "failed")} == {
        "cases": 4,
        "lost": 3,
        "doubled": 2,
        "failed": 3,
    }
    assert (found["recovery"]["median_seconds"], found["recovery"]["maximum_seconds"]) == (6.0, 7.0)
    assert [one["outcome"] for one in found["results"]] == ["ok", "failed", "failed", "failed"]
    assert found["results"][1]["rows_found"] == 1197
    assert not made.sound


def test_a_run_without_problems_is_sound() -> None:
    assert report(outcome(CASES[0], verdict())).sound


def test_the_page_keeps_what_stands_around_the_results(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{BEGIN}\nof an earlier run\n{END}\n\nthe end\n")
    report(*(outcome(case, verdict()) for case in CASES)).write_page(page)
    text = page.read_text()
    assert text.startswith("# Title\n")
    assert text.endswith("the end\n")
    assert "of an earlier run" not in text
    assert text.count("ok") >= len(CASES)
    assert "**failed**" not in text
    assert "not run" not in text


def test_a_failed_case_is_shown_as_failed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}")
    report(outcome(CASES[0], verdict(lost=1))).write_page(page)
    assert "**failed**" in page.read_text()


def test_a_page_without_a_place_for_the_results_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n")
    with pytest.raises(ValueError, match="lacks a line"):
        report().write_page(page)
