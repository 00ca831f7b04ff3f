"""Space on the file systems that a process writes to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class Space(NamedTuple):
    """Bytes of a file system: what this process may still use, and all that there are."""

    free: int
    size: int


def space(directory: Path) -> Space | None:
    """Return the space of a directory's file system, or of the nearest one above that exists; ``None``: no answer."""
    there = directory
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        found = os.statvfs(there)
    except OSError:
        return None
    return Space(free=found.f_bavail * found.f_frsize, size=found.f_blocks * found.f_frsize)
