"""SQL kept in files: blocks that start with ``-- name: …``, loaded when they are first needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def statements(file: str) -> Mapping[str, bytes]:
    """Return the statements of ``sql/<file>.sql`` by name.

    Raises:
        ValueError: if a name stands there twice, or text stands before the first name.
    """
    text = (resources.files(__package__) / "sql" / f"{file}.sql").read_text(encoding="utf-8")
    before, *parts = _NAME.split(text)
    if before.strip():
        raise ValueError(f"sql/{file}.sql: text before the first '-- name:'")
    found: dict[str, bytes] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if name in found:
            raise ValueError(f"sql/{file}.sql: {name} stands there twice")
        found[name] = body.strip().encode()
    return MappingProxyType(found)
