"""The changelog tells an operator what to do to get to each version."""

from __future__ import annotations

import re
from pathlib import Path

from consumer import __version__
from consumer.adapters.postgres.migrations import shipped

TEXT = (Path(__file__).resolve().parents[3] / "CHANGELOG.md").read_text("utf-8")
VERSIONS: dict[str, str] = dict(re.findall(r"^## \[([^]]+)\][^\n]*\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))


def steps(version: str) -> str:
    """What a version's first section says."""
    title, _, rest = VERSIONS[version].strip().partition("\n")
    assert title == "### To upgrade", f"{version} does not begin with what an operator has to do"
    return rest.partition("\n### ")[0]


def test_every_version_begins_with_what_an_operator_has_to_do() -> None:
    assert VERSIONS
    for version in VERSIONS:
        subjects = re.findall(r"^- (\w+):", steps(version), re.MULTILINE)
        assert subjects[:4] == ["Configuration", "Ledger", "Processes", "Tables"], version


def test_the_newest_version_names_the_newest_migration() -> None:
    newest = next(iter(VERSIONS))
    assert newest in {"Unreleased", __version__}
    assert f"`{shipped()[-1]}`" in steps(newest)
