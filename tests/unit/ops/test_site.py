"""The site: every page has its place, what pages link to is there, and nothing comes from other servers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.programs import find_program, needs_program

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
SITE: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
OF_THE_ROOT = {"index.md": "README.md", "changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
OF_THE_ROOT |= {"security.md": "SECURITY.md"}
PAGES = [*(ROOT / name for name in OF_THE_ROOT.values()), *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def places(entries: list[Any]) -> Iterator[str]:
    """The pages of the navigation in their order."""
    for entry in entries:
        if isinstance(entry, str):
            yield entry
            continue
        (inner,) = entry.values()
        yield from [inner] if isinstance(inner, str) else places(inner)


def slug(heading: str) -> str:
    """The anchor that GitHub, and the site, give a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_page_has_one_place_in_the_navigation() -> None:
    listed = list(places(SITE["nav"]))
    assert len(listed) == len(set(listed))
    assert set(listed) == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} | OF_THE_ROOT.keys()


def test_the_navigation_goes_from_learning_to_understanding() -> None:
    assert [next(iter(entry)) for entry in SITE["nav"]] == [
        "icehaul", "Tutorial", "How to", "Runbooks", "Reference", "Explanation", "Questions", "Decisions", "Project",
    ]  # fmt: skip
    folders = {"Tutorial": "tutorial", "How to": "how-to", "Runbooks": "runbooks", "Decisions": "adr"}
    for section, folder in folders.items():
        (entries,) = (entry[section] for entry in SITE["nav"] if section in entry)
        assert {place.split("/")[0] for place in places(entries)} == {folder}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_links_to_is_there(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text("utf-8"))):
        if "://" in link:
            assert link.startswith("https://"), link
            continue
        file, _, anchor = link.partition("#")
        there = page.parent / file if file else page
        assert there.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", FENCE.sub("", there.read_text("utf-8")), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, link


def test_the_comparison_gives_figures_that_were_measured_only() -> None:
    measured = (DOCS / "explanation" / "performance.md").read_text("utf-8")
    text = (DOCS / "explanation" / "comparison.md").read_text("utf-8")
    figures = re.findall(r"(\d+(?:\.\d+)?) (?:s\b|CPU seconds)", text)
    assert len(figures) >= 6
    for figure in figures:
        assert re.search(rf"(?<![\d.]){re.escape(figure)}0*(?![\d.]\d|\d)", measured), figure


def test_every_complaint_names_its_thread() -> None:
    text = (DOCS / "faq.md").read_text("utf-8")
    asked = re.findall(r"^\*Asked in .*?\*$", text, re.MULTILINE | re.DOTALL)
    assert len(asked) >= 15
    for one in asked:
        assert re.search(r"\[[\w/-]*#\d+\]\(https://github\.com/[\w.-]+/[\w.-]+/(?:issues|pull)/\d+\)", one), one
    for name, number, link in re.findall(r"\[([\w/-]*)#(\d+)\]\((https://github\.com/[^)]+)\)", text):
        assert link.endswith(f"/{number}"), link
        assert not name or link.split("/")[4].lower() == name.split("/")[-1].lower(), link


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = mkdocs(ROOT, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def mkdocs(project: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(find_program("mkdocs")), "build", "--strict", "--site-dir", str(folder)],
        cwd=project, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip


@needs_program("mkdocs")
def test_the_site_loads_nothing_from_other_servers(built: Path) -> None:
    pages = sorted(built.rglob("*.html"))
    assert len(pages) > 100
    for page in pages:
        text = page.read_text("utf-8")
        assert not re.search(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=[\"']?https?://", text), page
        assert 'class="mermaid"' not in text, "its script would come from another server"


@needs_program("mkdocs")
def test_a_broken_link_ends_the_build(tmp_path: Path) -> None:
    for name in ("docs", "ops/site"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("mkdocs.yml", *OF_THE_ROOT.values()):
        shutil.copy(ROOT / name, tmp_path / name)
    with (tmp_path / "docs" / "faq.md").open("a", encoding="utf-8") as page:
        page.write("\n[x](explanation/nowhere.md) [y](explanation/comparison.md#nowhere)\n")
    done = mkdocs(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert "explanation/nowhere.md" in done.stderr
    assert "#nowhere" in done.stderr
