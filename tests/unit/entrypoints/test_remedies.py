"""A remedy that names a command names one that exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer.main

from consumer.entrypoints.cli.main import app

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted(path for folder in ("consumer", "spark") for path in (ROOT / folder).rglob("*.py"))

# In a message a command stands in quotes of some kind or after a colon, and at the end of it.
NAMED = re.compile(r"(?:[`'\"(]|\$\(|: )icehaul ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?")


@cache
def commands() -> dict[str, set[str]]:
    """Every command with its sub-commands."""
    group = typer.main.get_command(app)
    return {name: set(getattr(command, "commands", ())) for name, command in group.commands.items()}  # type: ignore[attr-defined]


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Every string of a source file that is no docstring, with what is put in replaced by a word in capitals."""
    tree = ast.parse(path.read_text("utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if id(node) in docstrings or id(node) in inside:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "VALUE" for part in node.values]
            yield node.lineno, "".join(map(str, parts))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_a_text_names_exists(path: Path) -> None:
    known = commands()
    for line, text in texts(path):
        for command, word in NAMED.findall(text):
            assert command in known, f"line {line}: there is no `icehaul {command}`: {text!r}"
            if known[command] and word:
                assert word in known[command], f"line {line}: there is no `icehaul {command} {word}`: {text!r}"


def test_the_search_finds_what_it_is_for() -> None:
    found = {command for path in SOURCES for _, text in texts(path) for command, _ in NAMED.findall(text)}
    assert {"migrate", "resume", "status", "topics", "stack"} <= found
