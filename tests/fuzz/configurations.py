"""Configuration files that nobody should have written: each is read, or explained."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import yaml

from consumer.domain.errors import ConfigurationError
from consumer.settings.load import load
from consumer.settings.model import Configuration
from tests.fuzz.hostile import changed, deep, scratched

_EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "icehaul.example.yaml"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_LONGEST_ERROR = 20_000
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Nine levels of nine aliases: a few hundred bytes that mean a billion values."""

_TRICKS = (
    BOMB.encode(),
    deep(2_000).encode(),
    b"",
    b"\xff",
    b"- a\n- b",
    b"streams: *x",
    b"!!python/object/apply:os.system [x]",
)


def document() -> dict[str, Any]:
    """Return the example of the documentation."""
    found = yaml.safe_load(_EXAMPLE.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def text(chance: random.Random, example: dict[str, Any]) -> bytes:
    """Return the text of a configuration file; few are right."""
    if chance.random() < 0.02:
        return chance.choice(_TRICKS)
    made = changed(chance, example) if chance.random() < 0.7 else dict(example)
    if chance.random() < 0.6:
        streams = made.get("streams")
        if isinstance(streams, list) and streams and isinstance(streams[0], dict):
            made["streams"] = [changed(chance, streams[0]), *streams[1:]]
    written = json.dumps(made, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    return scratched(chance, written) if chance.random() < 0.4 else written


def judge(file: Path, written: bytes) -> str:
    """Load a file as every command does, and return ``read`` or ``refused``.

    Raises:
        AssertionError: if it is neither, or names in it go further than they may.
    """
    file.write_bytes(written)
    refusal: ConfigurationError | None = None
    try:
        check_names(load(file))
    except ConfigurationError as error:
        refusal = error
    if refusal is None:
        return "read"
    assert refusal.remedy
    assert len(str(refusal)) < _LONGEST_ERROR, f"an error of {len(str(refusal))} characters"
    return "refused"


def check_names(configuration: Configuration) -> None:
    """Check that no name of a stream goes further than an identifier.

    Raises:
        AssertionError: if one does.
    """
    for stream in configuration.by_name().values():
        names = (stream.name, stream.source.database, stream.source.table, stream.target.database, stream.target.table)
        for name in names:
            assert _NAME.fullmatch(name), f"name {name!r}"
