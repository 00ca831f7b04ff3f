"""Prometheus, promtool, Alertmanager and amtool: those that `make monitoring` unpacks, or those on the path."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

_UNPACKED = Path(__file__).resolve().parents[2] / ".venvs" / "monitoring" / "usr" / "bin"


def find_program(name: str) -> Path | None:
    """Return a program (``prometheus``, ``promtool``, ``prometheus-alertmanager``, ``amtool``) if it is here."""
    unpacked = _UNPACKED / name
    if unpacked.exists():
        return unpacked
    found = shutil.which(name)
    return None if found is None else Path(found)


def needs_program(name: str) -> pytest.MarkDecorator:
    """Skip tests where a program is missing, and say how to get it."""
    return pytest.mark.skipif(find_program(name) is None, reason=f"no {name}: make monitoring unpacks it")
