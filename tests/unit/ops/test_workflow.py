"""The public workflow, the security policy and what is asked of dependencies."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.programs import find_program, needs_program

ROOT = Path(__file__).resolve().parents[3]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
TEXT = WORKFLOW.read_text("utf-8")
JOBS: dict[str, Any] = yaml.safe_load(TEXT)["jobs"]
STEPS = [step for job in JOBS.values() for step in job["steps"]]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def actionlint(text: str) -> subprocess.CompletedProcess[str]:
    program = str(find_program("actionlint"))
    return subprocess.run(
        [program, "-no-color", "-"], input=text, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@needs_program("actionlint")
def test_actionlint_finds_nothing_to_complain_of() -> None:
    done = actionlint(TEXT)
    assert (done.returncode, done.stdout) == (0, "")


@needs_program("actionlint")
@pytest.mark.parametrize(
    ("line", "broken"), [("runs-on: ubuntu-24.04", "run-on: ubuntu-24.04"), ("github.ref }}", "github.reff }}")]
)
def test_actionlint_complains_of_a_broken_workflow(line: str, broken: str) -> None:
    assert line in TEXT
    assert actionlint(TEXT.replace(line, broken)).returncode != 0


def test_it_follows_the_schema_of_workflows() -> None:
    schema = json.loads(files("check_jsonschema.builtin_schemas.vendor").joinpath("github-workflows.json").read_text())
    document = yaml.safe_load(TEXT.replace("\non:", '\n"on":'))
    jsonschema.Draft7Validator(schema).validate(document)


def test_every_action_is_pinned_by_its_commit_and_says_its_release() -> None:
    uses = re.findall(r"uses: (.+)$", TEXT, re.MULTILINE)
    assert len(uses) == len([step for step in STEPS if "uses" in step])
    for one in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one), one


def test_a_job_may_read_the_repository_and_nothing_else() -> None:
    assert yaml.safe_load(TEXT)["permissions"] == {"contents": "read"}
    for name, job in JOBS.items():
        assert "permissions" not in job, name
        assert job["timeout-minutes"] <= (180 if name == "thorough" else 90)
    checkouts = [step for step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == len(JOBS)
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert "pull_request_target" not in TEXT
    assert not re.search(r"\$\{\{[^}]*secrets", TEXT)


def test_what_it_runs_is_there() -> None:
    commands = [line for step in STEPS for line in step.get("run", "").splitlines()]
    assert ".ci/run" in commands
    for line in commands:
        if match := re.fullmatch(r"make (\S+)", line):
            assert f"\n{match[1]}:" in MAKEFILE, line
    for target in ("vulnerabilities", "licences", "sbom"):
        assert f"make {target}" in commands
        assert f"`make {target}`" in (ROOT / "SECURITY.md").read_text("utf-8")


def test_released_servers_are_tried_from_the_oldest_to_the_newest_that_is_supported() -> None:
    job = JOBS["containers"]
    releases = job["strategy"]["matrix"]["clickhouse"]
    page = (ROOT / "docs" / "reference" / "compatibility.md").read_text("utf-8")
    assert [".".join(one.split(".")[:2]) for one in releases] == ["24.3", "26.9"]
    assert "| 24.3, 26.9 | the released servers" in page
    assert f"\nCLICKHOUSE ?= {releases[0]}\n" in MAKEFILE
    assert job["env"] == {"CLICKHOUSE": "${{ matrix.clickhouse }}"}


def requirements() -> dict[str, str]:
    text = (ROOT / "requirements" / "service.txt").read_text("utf-8")
    return dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", text, re.MULTILINE))


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a make target with the environment of these tests, without installing anything."""
    there = [f"VENV={sys.prefix}", f"--old-file={sys.prefix}/.runtime", "--old-file=.venvs/deploy/.installed"]
    return subprocess.run(
        ["make", "--silent", *there, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


@needs_program("pip-licenses")
def test_only_licences_that_were_agreed_to_come_with_the_service() -> None:
    found = make("licences")
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr
    listed = {one["Name"].lower().replace("_", "-").replace(".", "-") for one in json.loads(found.stdout)}
    assert {"pyarrow", "pyspark", "psycopg", "confluent-kafka"} <= listed
    assert listed <= {name.lower().replace(".", "-").replace("_", "-") for name in requirements()}
    refused = make("licences", "LICENCES=MIT")
    assert refused.returncode != 0
    assert "not in allow-only licenses" in refused.stdout + refused.stderr


@needs_program("cyclonedx-py")
def test_the_bill_of_materials_lists_every_package_with_its_version_and_hashes() -> None:
    done = make("sbom")
    assert done.returncode == 0, done.stderr
    bill = json.loads((ROOT / "var" / "sbom" / "icehaul.cdx.json").read_text("utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "icehaul"
    assert {one["name"]: one["version"] for one in bill["components"]} == requirements()
    assert all(one["externalReferences"][0]["hashes"] for one in bill["components"])


def test_the_policy_leads_to_pages_that_exist() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (ROOT / link).exists(), link
