"""The dashboards as files: what Grafana needs of them, and what PromQL does."""

from __future__ import annotations

import json
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.ops_files import DASHBOARDS, GRAFANA, panels, queries
from tests.support.programs import find_program, needs_program

NAMES = ["batches", "kafka", "ledger", "maintenance", "overview", "spark", "stream"]
OF_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
GRID = 24


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def test_there_is_a_dashboard_for_each_part() -> None:
    assert [path.stem for path in DASHBOARDS] == NAMES


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_has_a_fixed_uid_a_description_and_links_to_the_others(path: Path) -> None:
    found = document(path)
    assert found["uid"] == f"icehaul-{path.stem}"
    assert found["title"]
    assert found["description"].endswith(".")
    (link,) = found["links"]
    assert (link["type"], link["tags"], link["includeVars"]) == ("dashboards", ["icehaul"], True)
    assert "icehaul" in found["tags"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_asks_for_its_data_source_and_its_streams_by_variables(path: Path) -> None:
    variables = {one["name"]: one for one in document(path)["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    used = any("$stream" in target["expr"] for panel in panels(path) for target in panel["targets"])
    assert used is ("stream" in variables)
    if used:
        assert variables["stream"]["datasource"] == OF_DATASOURCE
        assert (variables["stream"]["multi"], variables["stream"]["includeAll"]) == (True, True)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_has_data_source_unit_description_and_legends(path: Path) -> None:
    found = panels(path)
    assert len({panel["id"] for panel in found}) == len(found)
    assert len({panel["title"] for panel in found}) == len(found)
    for panel in found:
        assert panel["datasource"] == OF_DATASOURCE, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0, panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


def overlapping(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_no_panel_lies_over_another_or_beyond_the_grid(path: Path) -> None:
    places = [panel["gridPos"] for panel in panels(path)]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= GRID for place in places)
    assert not [pair for pair in combinations(places, 2) if overlapping(*pair)]


def test_a_panel_over_another_would_be_noticed() -> None:
    assert overlapping({"x": 0, "y": 0, "w": 12, "h": 7}, {"x": 11, "y": 6, "w": 12, "h": 7})
    assert not overlapping({"x": 0, "y": 0, "w": 12, "h": 7}, {"x": 12, "y": 0, "w": 12, "h": 7})


def test_links_to_a_dashboard_lead_to_one_that_exists() -> None:
    links = [
        link["url"]
        for path in DASHBOARDS
        for panel in panels(path)
        for link in panel["fieldConfig"]["defaults"].get("links", ())
    ]
    uids = {document(path)["uid"] for path in DASHBOARDS}
    assert links
    assert {link.removeprefix("/d/").partition("?")[0] for link in links} <= uids


@needs_program("promtool")
@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_expression_is_promql(path: Path, tmp_path: Path) -> None:
    checked = check([*queries(path)], tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@needs_program("promtool")
def test_an_expression_that_is_no_promql_would_be_noticed(tmp_path: Path) -> None:
    assert check(["sum by stream (icehaul_rows_total)"], tmp_path).returncode != 0


def check(expressions: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    """Put expressions into a file of rules, and let promtool look at it."""
    file = directory / "expressions.yml"
    made = [{"record": f"expression:{number}", "expr": one} for number, one in enumerate(expressions)]
    file.write_text(yaml.safe_dump({"groups": [{"name": "expressions", "rules": made}]}), encoding="utf-8")
    return subprocess.run(
        [str(find_program("promtool")), "check", "rules", str(file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_grafana_is_provisioned_with_the_folder_of_the_dashboards_and_a_data_source() -> None:
    (provider,) = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "icehaul.yml").read_text())["providers"]
    assert (provider["type"], provider["allowUiUpdates"]) == ("file", False)
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards/icehaul"
    (source,) = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
