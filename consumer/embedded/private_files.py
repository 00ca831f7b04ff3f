"""Files that only their owner may read, replaced in one step."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pydantic import BaseModel


def write_private(path: Path, text: str) -> None:
    """Write ``text`` so that readers see the old or the new content, and nobody else sees any (mode 0600)."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(text)
    Path(name).replace(path)


def write_model(path: Path, model: BaseModel) -> None:
    """Write a model as JSON, privately."""
    write_private(path, model.model_dump_json(indent=2) + "\n")
