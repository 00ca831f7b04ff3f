"""Every metric that a dashboard, a rule or a page names is one of the code, and the other way round."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from consumer.adapters.telemetry.catalogue import METRICS
from tests.support.ops_files import DASHBOARDS, ROOT, RULE_TESTS, RULES, metrics_in, queries, rules

KNOWN = {one.name for one in METRICS}
LABELS = {label.name for one in METRICS for label in one.labels}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OF_PROMETHEUS = {"le", "instance", "job", "alertname", "alertstate"}
NO_METRICS = {
    name
    for path in (*ROOT.glob("schemas/**/*.sql"), *ROOT.glob("ops/**/*.sql"), *ROOT.glob("ops/docker/*.py"))
    for name in re.findall(r"\bicehaul_\w+", path.read_text("utf-8"))
}
"""Roles, schemas, users and files that are named in the same way."""


def used() -> str:
    """The expressions of all dashboards and rules."""
    shown = [expression for path in DASHBOARDS for expression in queries(path)]
    return "\n".join([*shown, *(rule["expr"] for path in RULES for rule in rules(path))])


@pytest.mark.parametrize("path", [*DASHBOARDS, *RULES], ids=lambda path: path.stem)
def test_a_metric_that_a_dashboard_or_rule_names_exists(path: Path) -> None:
    named = metrics_in(path.read_text("utf-8"))
    assert named <= KNOWN


def test_the_tests_of_rules_make_series_of_metrics_that_exist() -> None:
    for path in RULE_TESTS:
        assert metrics_in(path.read_text("utf-8")) <= KNOWN


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_metric_that_a_page_names_exists(page: Path) -> None:
    endings = r"_(total|seconds|bytes|ratio|files|info)(_(bucket|sum|count))?$"
    named = {name for name in metrics_in(page.read_text("utf-8")) if re.search(endings, name)}
    assert named - NO_METRICS <= KNOWN


def test_every_metric_is_used_by_a_dashboard_or_a_rule() -> None:
    assert KNOWN - metrics_in(used()) == set()


def test_every_metric_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text("utf-8")
    assert all(f"| `{name}` |" in page for name in KNOWN)


def test_expressions_group_and_select_by_labels_that_exist() -> None:
    selected = set(re.findall(r'[{,]\s*(\w+)\s*(?:=~|!~|!=|=)\s*"', used()))
    grouped = {
        name for inside in re.findall(r"\b(?:by|on) \(([\w, ]*)\)", used()) for name in inside.split(", ") if name
    }
    assert (selected | grouped) - OF_PROMETHEUS <= LABELS


def test_every_recorded_rule_that_is_named_exists() -> None:
    recorded = {rule["record"] for path in RULES for rule in rules(path) if "record" in rule}
    named = set(re.findall(r"\bicehaul:[a-z0-9_]+:[a-z0-9_]+", used()))
    assert named == recorded
