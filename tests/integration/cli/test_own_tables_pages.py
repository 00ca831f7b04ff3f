"""The commands of the pages about one's own tables, run as they stand there on a database of the test's own."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from consumer.settings.load import load
from tests.integration.cli.conftest import Run, spawn
from tests.support.platform import Platform

PAGES = Path(__file__).resolve().parents[3] / "docs" / "how-to"
ROOT = str(PAGES.parents[1])


def commands(page: str, database: str) -> list[list[str]]:
    text = (PAGES / page).read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    return [shlex.split(line.replace("quickstart", database), comments=True)[1:] for line in lines if line]


@pytest.fixture
def folder(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a configuration; the stack's addresses stand in the environment."""
    monkeypatch.delenv("ICEHAUL_CONFIG")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", ROOT)
    for name, value in platform.endpoints.environment().items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_both_pages_work_as_written(icehaul: Run, platform: Platform, folder: Path) -> None:
    start = commands("start-with-your-own-tables.md", platform.name)
    check = commands("check-a-setup.md", platform.name)
    assert [command[0] for command in start] == ["init", "migrate", "topics", "doctor", "plan"]
    assert [command[0] for command in check] == ["doctor"] * 4
    assert "--spark" in check[-1]
    for command in [*start, *check]:
        # Spark in a process of its own: one process has one session.
        ended = (spawn if "--spark" in command else icehaul)(*command)
        assert ended.code == 0, f"{command}: {ended.out}{ended.err}"
    (stream,) = load(folder / "icehaul.yaml").streams
    assert stream.name == f"{platform.name}_trades"
    assert (stream.timestamp_column, stream.sequence_columns) == ("ts", ("seq",))
