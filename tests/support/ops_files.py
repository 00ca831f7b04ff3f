"""The dashboards and rules of ``ops/``, and the metrics that they name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from consumer.adapters.telemetry.catalogue import METRICS

ROOT = Path(__file__).resolve().parents[2]
GRAFANA = ROOT / "ops" / "grafana"
PROMETHEUS = ROOT / "ops" / "prometheus"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
RULES = sorted(PROMETHEUS.glob("*.yml"))
RULE_TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))

_NAME = re.compile(r"\bicehaul_[a-z0-9_]+\b")
_HISTOGRAMS = {one.name for one in METRICS if one.kind == "histogram"}


def rules(path: Path) -> Iterator[dict[str, Any]]:
    """The rules of a file."""
    for group in yaml.safe_load(path.read_text("utf-8"))["groups"]:
        yield from group["rules"]


def alerts() -> Iterator[dict[str, Any]]:
    """All alerts."""
    for path in RULES:
        yield from (rule for rule in rules(path) if "alert" in rule)


def panels(path: Path) -> list[dict[str, Any]]:
    """The panels of a dashboard."""
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["panels"]
    return found


def queries(path: Path) -> Iterator[str]:
    """The expressions of a dashboard, with its variables as Grafana puts them in."""
    for panel in panels(path):
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "5m").replace("$stream", ".*")


def metrics_in(text: str) -> set[str]:
    """The metrics that a text names, histograms by their own name."""
    return {_family(name) for name in _NAME.findall(text)}


def _family(name: str) -> str:
    for histogram in _HISTOGRAMS:
        if name in {f"{histogram}_bucket", f"{histogram}_sum", f"{histogram}_count"}:
            return histogram
    return name
