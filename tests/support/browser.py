"""The headless Chromium that `make browser` installs, and what it sees of the console."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

HOME = Path(__file__).resolve().parents[2] / ".venvs" / "browser"
SHOTS = "ICEHAUL_SCREENSHOTS"
"""Folder that the screenshots of the documentation are written to, where it is set."""
_DRIVER = Path(__file__).with_name("console_browser.mjs")

needs_browser = pytest.mark.skipif(
    not (HOME / ".installed").exists() or shutil.which("node") is None,
    reason="no headless Chromium: `make browser` installs it",
)


def look_at_console(port: int, *, token: str, batch: str) -> Any:
    """Visit the console in light and dark, on a desk and a phone, by mouse and keyboard, and return what was seen."""
    done = subprocess.run(
        ["node", str(_DRIVER), str(HOME), f"http://127.0.0.1:{port}/console/", token, os.environ.get(SHOTS, ""), batch],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)
