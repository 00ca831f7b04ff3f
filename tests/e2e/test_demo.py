"""`make demo` does the real thing, and its report says so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from consumer.demo.market import TABLES

pytestmark = [pytest.mark.spark, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Play the demo once, as `make demo` does, in a directory of its own."""
    directory = tmp_path_factory.mktemp("demo")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ICEHAUL_")}
    done = subprocess.run(
        [sys.executable, "-m", "consumer.demo", "run"],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return directory, done.stdout


def test_every_stream_arrives_exactly(demo: tuple[Path, str]) -> None:
    report = json.loads((demo[0] / "var/demo/report.json").read_text())
    assert [stream["name"] for stream in report["streams"]] == list(TABLES)
    for stream in report["streams"]:
        assert stream["source_rows"] == stream["cold_rows"] > 0
        assert stream["missing"] == stream["duplicated"] == 0
        assert stream["batches"] == stream["snapshots"] >= 3
        assert stream["supplements"] == (0 if "book" in stream["name"] else 1)
        assert stream["watermark"].startswith("20")


def test_the_report_tells_what_happened(demo: tuple[Path, str]) -> None:
    report = json.loads((demo[0] / "var/demo/report.json").read_text())
    assert report["late_rows"] == 8
    assert report["kills"] == 1
    assert report["replays"] == 1
    assert report["events"] > 30
    assert set(report["seconds"]) == {"prepare", "offload", "add", "kill", "late", "tick", "replay", "verify"}


def test_a_person_sees_the_trace_and_the_verdict(demo: tuple[Path, str]) -> None:
    out = demo[1]
    for step in ("send icehaul.events", "offload.claim", "offload.unit", "offload.publish", "commit icehaul.events"):
        assert step in out
    assert "no new snapshot" in out
    assert "no row lost, none doubled" in out


def test_a_person_is_told_where_the_console_is_while_consumers_run(demo: tuple[Path, str]) -> None:
    addresses = re.findall(r"look at it, while it runs: http://127\.0\.0\.1:(\d+)/", demo[1])
    served = {
        port
        for log in (demo[0] / "var/demo/logs").glob("consumer-*.log")
        for port in re.findall(r'"port": (\d+)', log.read_text())
    }
    assert addresses
    assert set(addresses) <= served


def test_nothing_is_left_running_and_no_secret_in_logs(demo: tuple[Path, str]) -> None:
    root = demo[0] / "var/demo"
    secrets = [file.read_text() for file in (root / "secrets").iterdir()]
    assert secrets
    for log in (*root.glob("logs/*.log"), *root.glob("traces/*.jsonl"), root / "icehaul.yaml"):
        text = log.read_text(errors="replace")
        assert not any(secret in text for secret in secrets), log
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_bytes().decode(errors="replace")
        except OSError:
            continue
        assert str(root) not in command, command
