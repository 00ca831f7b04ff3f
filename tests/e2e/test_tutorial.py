"""The tutorial, followed line by line in one shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/tutorial/first-offload.md").read_text(encoding="utf-8")


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial uses curl")
def test_the_tutorial_works_as_written(tmp_path: Path) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    # `kill %1` needs job control; a failing line ends the script, and the stack ends with it.
    cleanup = "trap 'kill $(jobs -p) 2>/dev/null || icehaul stack down --dir stack >/dev/null 2>&1 || true' EXIT\n"
    script = "set -Eeuo pipefail -m\n" + cleanup + "\n".join(blocks)
    commands = tmp_path / "bin"
    commands.mkdir()
    command = commands / "icehaul"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m consumer.entrypoints.cli.main "$@"\n')
    command.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ICEHAUL_")}
    environment |= {
        "PATH": f"{commands}:{environment['PATH']}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "160",
    }
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=380, check=False
    )
    log = tmp_path / "consumer.log"
    told = done.stdout + done.stderr + (log.read_text() if log.exists() else "")
    assert done.returncode == 0, told[-6000:]
    assert "86,400" in done.stdout
    assert "91,400" in done.stdout
    assert "equal" in done.stdout
