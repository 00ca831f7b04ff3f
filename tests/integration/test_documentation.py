"""What the how-to pages show is accepted by the product as it stands there."""

from __future__ import annotations

import re
import shlex
from itertools import takewhile
from pathlib import Path

import pytest
import typer
import yaml

from consumer.entrypoints.cli.main import app
from consumer.settings.load import load

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GENERATED = {"cli.md", "errors.md"}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def command_of(line: str) -> list[str]:
    """The words of a command, without what its shell is told besides."""
    return list(takewhile(lambda word: word not in {">", "2>&1", "|", "&", ";"}, shlex.split(line, comments=True)))


COMMANDS = [
    pytest.param(command_of(line), id=f"{page.stem}: {line.split('#')[0].strip()}")
    for page in PAGES
    if page.name not in GENERATED
    for block in blocks(page, "bash")
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip().startswith("icehaul ")
]
CONFIGURATIONS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page, "yaml"))
]


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_that_a_page_shows_is_understood(words: list[str]) -> None:
    command = typer.main.get_command(app)
    context = command.make_context("icehaul", words[1:], resilient_parsing=False)
    with context:
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])  # type: ignore[attr-defined]
        while hasattr(found, "resolve_command"):
            inner = found.make_context(name, rest)
            name, found, rest = found.resolve_command(inner, [*inner._protected_args, *inner.args])
        found.make_context(name, rest)


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_every_configuration_that_a_page_shows_is_accepted(text: str, tmp_path: Path) -> None:
    document = yaml.safe_load(text)
    if not isinstance(document, dict) or not document.keys() & {"spark", "streams", "clickhouse", "kafka", "emitter"}:
        pytest.skip("no configuration of icehaul")
    path = tmp_path / "icehaul.yaml"
    path.write_text(text, encoding="utf-8")
    load(path)
