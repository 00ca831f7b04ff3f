"""A Python without any library, as it stands on machines where nothing was installed for icehaul."""

from __future__ import annotations

import venv
from pathlib import Path


def bare_python(directory: Path) -> Path:
    """Make an interpreter of this one's version in ``directory``, with an empty ``site-packages``; return its path."""
    venv.create(directory, symlinks=True, with_pip=False)
    return directory / "bin" / "python"
