"""What the page on Prometheus and Grafana shows, run as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.ops_files import ROOT
from tests.support.programs import find_program, needs_program
from tests.support.waiting import wait_until

PAGE = ROOT / "docs" / "how-to" / "watch-it-with-prometheus-and-grafana.md"
CHECKS = ["promtool", "check", "config", "ops/prometheus/config/prometheus.yml"]
SERVER = ["prometheus", "--config.file", "ops/prometheus/config/prometheus.yml"]


def commands() -> list[str]:
    (block,) = re.findall(r"```bash\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return list(block.splitlines())


def environment() -> dict[str, str]:
    program = find_program("promtool")
    assert program is not None
    return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}


@needs_program("promtool")
def test_the_configuration_and_the_rules_are_checked_as_the_page_says() -> None:
    *checks, _ = commands()
    assert shlex.split(checks[0]) == CHECKS
    assert len(checks) == 2
    for line in checks:
        done = subprocess.run(
            ["bash", "-c", line], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "SUCCESS" in done.stdout


@needs_program("prometheus")
def test_prometheus_starts_with_the_configuration_and_all_rules(tmp_path: Path) -> None:
    """As the page says, but for port and folder: those of the page may be taken."""
    server = shlex.split(commands()[-1])
    assert server == SERVER
    log = tmp_path / "prometheus.log"
    own = ["--web.listen-address=127.0.0.1:0", f"--storage.tsdb.path={tmp_path / 'data'}"]
    with log.open("wb") as output:
        running = subprocess.Popen(
            [*server, *own],
            executable=find_program("prometheus"),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: "Server is ready" in log.read_text(), seconds=60, what="Prometheus to be ready")
    finally:
        running.terminate()
        assert running.wait(30) == 0
    assert "level=error" not in log.read_text()


@pytest.mark.parametrize("folder", ["ops/grafana/dashboards", "ops/grafana/provisioning", "ops/prometheus"])
def test_a_folder_that_the_page_names_is_there(folder: str) -> None:
    assert f"`{folder}`" in PAGE.read_text("utf-8")
    assert (ROOT / folder).is_dir()
