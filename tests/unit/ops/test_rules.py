"""The rules for Prometheus: each alert is complete, explained and tested both ways."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.ops_files import PROMETHEUS, ROOT, RULE_TESTS, RULES, alerts, rules
from tests.support.programs import find_program, needs_program
from tests.support.runbooks import RUNBOOKS

ALERTS = [pytest.param(rule, id=rule["alert"]) for rule in alerts()]
SUBJECTS = """
IcehaulStreamLagging IcehaulLossNear IcehaulStreamHalted IcehaulConsumerStuck IcehaulUnknownCommitsRepeated
IcehaulDeadLetters IcehaulLateRowSurge IcehaulBatchesSlow IcehaulSmallFiles IcehaulDiskFull IcehaulOffsetIncident
IcehaulAuditFailed IcehaulConsumerAbsent IcehaulFreshnessBudgetBurnsFast IcehaulBatchBudgetBurnsFast
"""


def promtool(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(find_program("promtool")), *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def cases() -> dict[tuple[str, bool], dict[str, Any]]:
    """The tests of alerts, by name and whether the alert fires."""
    found = {}
    for path in RULE_TESTS:
        for test in yaml.safe_load(path.read_text("utf-8"))["tests"]:
            for case in test["alert_rule_test"]:
                found[case["alertname"], bool(case["exp_alerts"])] = test
    return found


@pytest.mark.parametrize("name", SUBJECTS.split())
def test_there_is_an_alert_for_what_an_operator_must_not_miss(name: str) -> None:
    assert name in {rule["alert"] for rule in alerts()}


@pytest.mark.parametrize("rule", ALERTS)
def test_an_alert_says_how_bad_it_is_what_happened_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"].endswith(".")
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert (ROOT / page).parent == RUNBOOKS
    assert anchor == rule["alert"].lower()
    assert rule["alert"] in _sections(ROOT / page)


def test_the_runbooks_have_one_section_for_each_alert_and_for_no_other() -> None:
    sections = [heading for page in RUNBOOKS.glob("*.md") for heading in _sections(page)]
    assert sorted(sections) == sorted(rule["alert"] for rule in alerts())


def test_the_page_about_monitoring_leads_to_the_runbook_of_each_alert() -> None:
    page = ROOT / "docs" / "how-to" / "watch-it-with-prometheus-and-grafana.md"
    shown = re.findall(r"\[(Icehaul\w+)\]\(\.\./(\S+)\)", page.read_text("utf-8"))
    assert {(name, f"docs/{link}") for name, link in shown} == {
        (rule["alert"], rule["annotations"]["runbook_url"]) for rule in alerts()
    }


def _sections(page: Path) -> list[str]:
    """The alerts that a runbook has a section for."""
    return re.findall(r"^### (Icehaul\w+)$", page.read_text("utf-8"), re.MULTILINE)


def test_each_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    names = {rule["alert"] for rule in alerts()}
    assert cases().keys() == {(name, fires) for name in names for fires in (True, False)}


def test_a_case_that_does_not_fire_has_series_of_a_metric_of_the_rule() -> None:
    by_name = {rule["alert"]: rule for rule in alerts()}
    recorded = {rule["record"]: rule["expr"] for path in RULES for rule in rules(path) if "record" in rule}
    for (name, fires), test in cases().items():
        expression = by_name[name]["expr"]
        for _ in range(3):
            for record, inner in recorded.items():
                expression = re.sub(rf"{record}\b", inner.replace("\\", r"\\"), expression)
        given = {series["series"].partition("{")[0] for series in test["input_series"]}
        assert fires or any(metric in expression for metric in given), name


@needs_program("promtool")
def test_every_rule_is_valid() -> None:
    checked = promtool("check", "rules", *map(str, RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "duplicate" not in checked.stdout


@needs_program("promtool")
@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(path: Path) -> None:
    tested = promtool("test", "rules", str(path))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@needs_program("promtool")
def test_a_rule_that_never_fires_would_be_noticed(tmp_path: Path) -> None:
    shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    file = tmp_path / "prometheus" / "alerts-streams.yml"
    broken = file.read_text("utf-8").replace("(icehaul_stream_halted) == 1", "(icehaul_stream_halted) == 2")
    file.write_text(broken, encoding="utf-8")
    tested = promtool("test", "rules", str(tmp_path / "prometheus" / "tests" / "alerts-streams.yml"))
    assert tested.returncode != 0
    assert "IcehaulStreamHalted fires" in tested.stdout + tested.stderr
