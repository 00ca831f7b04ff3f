"""Where what is made or downloaded once, and can be again, is kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """The user's cache directory for icehaul: ``$XDG_CACHE_HOME/icehaul``, by default ``~/.cache/icehaul``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "icehaul"
