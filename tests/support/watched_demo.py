"""The demo, played once as `make demo KEEP=1` plays it, under the eyes of a real Prometheus where there is one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from consumer.embedded.errors import StackNotRunningError
from consumer.embedded.stack import EmbeddedStack
from tests.support.alerting import Server, prometheus
from tests.support.ops_files import PROMETHEUS
from tests.support.programs import find_program
from tests.support.waiting import wait_until

CONFIGURATION = PROMETHEUS / "config" / "prometheus.yml"
_ADDRESS = re.compile(r'"host": "([^"]+)", "port": (\d+)')
_PLAY_S = 560.0


@dataclass(frozen=True, slots=True)
class PlayedDemo:
    """A demo that is over; its stack is still up."""

    directory: Path
    output: str
    targets: Mapping[str, str]
    """Where each process of the demo served its metrics, by the process's name."""
    prometheus: Server | None

    @property
    def root(self) -> Path:
        """Where the demo keeps everything."""
        return root_of(self.directory)

    def report(self) -> Any:
        """The machine-readable result."""
        return json.loads((self.root / "report.json").read_text())

    def ask(self, query: str) -> list[tuple[dict[str, str], float]]:
        """Ask Prometheus; return labels and value of each series."""
        assert self.prometheus is not None
        found = self.prometheus.get("/api/v1/query", query=query)["data"]["result"]
        return [(series["metric"], float(series["value"][1])) for series in found]

    def own_counter(self, name: str) -> list[float]:
        """Return the values of a counter that Prometheus keeps of itself."""
        assert self.prometheus is not None
        with urllib.request.urlopen(f"{self.prometheus.url}/metrics", timeout=60) as answer:  # noqa: S310 - our own server
            families = text_string_to_metric_families(answer.read().decode())
            return [sample.value for family in families for sample in family.samples if sample.name == name]


def root_of(directory: Path) -> Path:
    """Where a demo keeps everything that is run in a directory."""
    return directory / "var" / "demo"


def demo_command(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the demo in a directory, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "consumer.demo", *arguments],
        cwd=directory,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def played_demo(directory: Path) -> Iterator[PlayedDemo]:
    """Play the demo and keep its stack for as long as the block lasts."""
    targets = directory / "targets.json"
    watched = find_program("prometheus") is not None
    with prometheus(_scraping(targets), directory) if watched else nullcontext() as server:
        try:
            output, found = _play(directory, targets)
            yield PlayedDemo(directory, output, found, server)
        finally:
            with suppress(StackNotRunningError):
                EmbeddedStack.attach(root_of(directory) / "stack").down()


def _play(directory: Path, targets: Path) -> tuple[str, Mapping[str, str]]:
    """Play the demo, and tell Prometheus of each of its processes as soon as that listens."""
    found: dict[str, str] = {}
    said, complained = directory / "demo.out", directory / "demo.err"
    with said.open("wb") as output, complained.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "consumer.demo", "run", "--keep"],
            cwd=directory,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )

    def ended() -> bool:
        for log in root_of(directory).glob("logs/*.log"):
            if log.stem not in found and (address := _ADDRESS.search(log.read_text("utf-8", "replace"))):
                found[log.stem] = f"{address[1]}:{address[2]}"
                _replace(targets, json.dumps([{"targets": list(found.values())}]))
        return process.poll() is not None

    try:
        wait_until(ended, seconds=_PLAY_S, what=f"the end of the demo, see {said}")
    finally:
        process.kill()
        process.wait(60)
    text = said.read_text("utf-8")
    assert process.returncode == 0, text + complained.read_text("utf-8", "replace")
    return text, found


def _replace(path: Path, text: str) -> None:
    """Write a file that somebody reads at any time."""
    whole = path.with_suffix(".new")
    whole.write_text(text, "utf-8")
    whole.rename(path)


def _scraping(targets: Path) -> dict[str, Any]:
    """The shipped configuration with the shipped rules, but for its targets and for the pace of a demo."""
    document: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text("utf-8"))
    document["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    document["rule_files"] = [str(CONFIGURATION.parent / pattern) for pattern in document["rule_files"]]
    (job,) = document["scrape_configs"]
    del job["static_configs"]
    job["file_sd_configs"] = [{"files": [str(targets)], "refresh_interval": "1s"}]
    return document


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("ICEHAUL_")}
