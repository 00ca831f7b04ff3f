"""Programs that a make target brings for tests, or that are on the path: Prometheus, Alertmanager, Helm and others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

_ENVIRONMENTS = Path(__file__).resolve().parents[2] / ".venvs"
_FOLDERS = [_ENVIRONMENTS / folder for folder in ("monitoring/usr/bin", "deploy/bin", "docs/bin")]
_TARGETS = {"mkdocs": "site"} | dict.fromkeys(
    ("prometheus", "promtool", "prometheus-alertmanager", "amtool"), "monitoring"
)


def find_program(name: str) -> Path | None:
    """Return a program (``promtool``, ``prometheus-alertmanager``, ``helm``, ``hadolint``) if it is here."""
    for folder in _FOLDERS:
        if (folder / name).exists():
            return folder / name
    found = shutil.which(name)
    return None if found is None else Path(found)


def needs_program(name: str) -> pytest.MarkDecorator:
    """Skip tests where a program is missing, and say how to get it."""
    target = _TARGETS.get(name, "deploy-tools")
    return pytest.mark.skipif(find_program(name) is None, reason=f"no {name}: make {target} brings it")
