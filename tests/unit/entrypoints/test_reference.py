"""The reference pages say what the models and commands say, and the example is one that works."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import typer.main
from pydantic import BaseModel

from consumer.entrypoints import reference
from consumer.entrypoints.cli.main import app
from consumer.entrypoints.cli.output import EXIT_CODE_MEANINGS, ExitCode
from consumer.settings import connections, model
from consumer.settings.load import load

SECTIONS = [
    one
    for module in (connections, model)
    for one in vars(module).values()
    if isinstance(one, type) and issubclass(one, BaseModel) and one.__module__ == module.__name__
]


def test_the_pages_are_what_would_be_generated_now() -> None:
    assert reference.differing() == [], "run make schemas"


def test_a_page_that_was_changed_by_hand_is_noticed(tmp_path: Path) -> None:
    for path, text in reference.render().items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    assert reference.differing(tmp_path) == []
    (tmp_path / "reference" / "cli.md").write_text("something else", encoding="utf-8")
    (tmp_path / "reference" / "configuration.md").unlink()
    assert reference.differing(tmp_path) == ["reference/configuration.md", "reference/cli.md"]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_field_is_described_and_listed(section: type[BaseModel]) -> None:
    page = reference.render()["reference/configuration.md"]
    for name, field in section.model_fields.items():
        assert field.description, f"{section.__name__}.{name} has no description"
        assert f"`{name}`" in page


def test_every_command_is_listed() -> None:
    page = reference.render()["reference/cli.md"]
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        for path in [f"{name} {inner}" for inner in getattr(command, "commands", ())] or [name]:
            assert f"## `icehaul {path}`" in page


def test_every_exit_code_has_a_meaning() -> None:
    codes = {value for name, value in vars(ExitCode).items() if not name.startswith("_")}
    assert codes == set(EXIT_CODE_MEANINGS)


def test_the_example_is_a_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("ICEHAUL_"):
            monkeypatch.delenv(name)
    loaded = load(reference.ROOT / "reference" / "icehaul.example.yaml")
    assert list(loaded.by_name()) == ["trades", "bars_1d"]
