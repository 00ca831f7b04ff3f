"""Every failpoint that the code names is in the catalogue, and every one of the catalogue is in the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from consumer.failpoints.effects import EFFECTS, POINTS

ROOT = Path(__file__).resolve().parents[3]
SOURCES = [path for package in ("consumer", "spark") for path in (ROOT / package).rglob("*.py")]


def named(path: Path) -> Iterator[str]:
    """The effects that a module names: ``around("…")``, and ``EFFECTS["…"].points`` where its points lie apart."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Attribute(attr="around"), args=[ast.Constant(value=str(name))]):
                yield name
            case ast.Attribute(attr="points", value=ast.Subscript(slice=ast.Constant(value=str(name)))):
                yield name


def test_the_code_and_the_catalogue_name_the_same_effects() -> None:
    found = {name for path in SOURCES for name in named(path)}
    assert found == set(EFFECTS)


def test_no_point_is_hit_by_a_name_that_is_not_in_the_catalogue() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(attr="hit" | "_hit"), args=[ast.Constant(value=str(name))]):
                    assert name in POINTS, f"{path}:{node.lineno}"


def test_every_effect_has_a_point_on_either_side() -> None:
    assert len(POINTS) == 2 * len(EFFECTS)
    for effect in EFFECTS.values():
        before, after = (POINTS[name] for name in effect.points)
        assert (before.applied, after.applied) == (False, True)
        assert before.description != after.description
