"""`make demo` does the real thing, and its report says so; kept, it can be looked at as it tells, and be ended."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from consumer.demo import __main__ as demo_program
from consumer.demo.market import TABLES
from consumer.embedded.component import ComponentName
from consumer.embedded.errors import StackNotRunningError
from consumer.embedded.stack import EmbeddedStack
from tests.support.command_words import understand
from tests.support.ops_files import ROOT, RULES, rules
from tests.support.programs import needs_program
from tests.support.transcript import kinds_of_spans, outside_of_trees, shapes
from tests.support.watched_demo import PlayedDemo, demo_command, played_demo

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

STAYS_UP = "the stack is still up; end it with: make demo-stop"
ICEHAUL = ".venv/bin/icehaul"
EVER = "[1h]"
"""The time that Prometheus is asked about: all of the demo, whose processes have ended by then."""
EVALUATIONS = ("evaluations", "evaluation_failures")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayedDemo]:
    """Play the demo once, as `make demo KEEP=1` does, in a directory of its own."""
    with played_demo(tmp_path_factory.mktemp("demo")) as played:
        yield played


def test_every_stream_arrives_exactly(demo: PlayedDemo) -> None:
    report = demo.report()
    assert [stream["name"] for stream in report["streams"]] == list(TABLES)
    for stream in report["streams"]:
        assert stream["source_rows"] == stream["cold_rows"] > 0
        assert stream["missing"] == stream["duplicated"] == 0
        assert stream["batches"] == stream["snapshots"] >= 3
        assert stream["supplements"] == (0 if "book" in stream["name"] else 1)
        assert stream["watermark"].startswith("20")


def test_the_report_tells_what_happened(demo: PlayedDemo) -> None:
    report = demo.report()
    assert report["late_rows"] == 8
    assert report["kills"] == 1
    assert report["replays"] == 1
    assert report["events"] > 30
    assert set(report["seconds"]) == {"prepare", "offload", "add", "kill", "late", "tick", "replay", "verify"}


def test_a_person_sees_the_trace_and_the_verdict(demo: PlayedDemo) -> None:
    for step in ("send icehaul.events", "offload.claim", "offload.unit", "offload.publish", "commit icehaul.events"):
        assert step in demo.output
    assert "no new snapshot" in demo.output
    assert "no row lost, none doubled" in demo.output


def test_the_readme_shows_a_run_of_this_demo(demo: PlayedDemo) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```\n( +0\.0 s  starting.*?)```", readme, re.DOTALL)
    told = "\n".join(line for line in said(demo).splitlines() if not line.endswith(": starting"))
    assert shapes(shown) - shapes(told) == set()
    assert shapes(outside_of_trees(told)) - shapes(shown) == set()
    assert kinds_of_spans(told) == kinds_of_spans(shown)


def test_a_person_is_told_where_the_console_is_while_consumers_run(demo: PlayedDemo) -> None:
    told = re.findall(r"look at it, while it runs: http://(\S+)/", demo.output)
    assert told
    assert len(set(told)) == len(told)
    assert set(told) <= {address for name, address in demo.targets.items() if name.startswith("consumer")}


# ------------------------------------------------------------------------ as Prometheus has seen it


@needs_program("prometheus")
def test_prometheus_loads_every_rule_file_and_evaluates_every_rule_without_an_error(demo: PlayedDemo) -> None:
    assert demo.prometheus is not None
    groups = demo.prometheus.get("/api/v1/rules")["data"]["groups"]
    assert {Path(group["file"]).resolve() for group in groups} == set(RULES)
    found = [rule for group in groups for rule in group["rules"]]
    shipped = [rule.get("alert") or rule["record"] for path in RULES for rule in rules(path)]
    assert sorted(rule["name"] for rule in found) == sorted(shipped)
    assert {(rule["health"], rule.get("lastError")) for rule in found} == {("ok", None)}
    evaluated, failed = (demo.own_counter(f"prometheus_rule_{name}_total") for name in EVALUATIONS)
    assert len(evaluated) == len(failed) == len(groups)
    assert min(evaluated) > 0
    assert max(failed) == 0


@needs_program("prometheus")
def test_prometheus_scrapes_every_process_of_the_demo(demo: PlayedDemo) -> None:
    assert demo.targets.keys() == {"emitter", *(f"consumer-{number}" for number in range(1, 5))}
    up = {labels["instance"]: value for labels, value in demo.ask(f'max_over_time(up{{job="icehaul"}}{EVER})')}
    assert up == dict.fromkeys(demo.targets.values(), 1)
    builds = demo.ask(f"last_over_time(icehaul_build_info{EVER})")
    assert {labels["instance"]: labels["role"] for labels, _ in builds} == {
        address: name.partition("-")[0] for name, address in demo.targets.items()
    }


@needs_program("prometheus")
def test_recording_rules_make_series_of_the_demo_and_of_each_of_its_streams(demo: PlayedDemo) -> None:
    recorded = {rule["record"] for path in RULES for rule in rules(path) if "record" in rule}
    found = {name: demo.ask(f"max_over_time({name}{EVER})") for name in recorded}
    assert [name for name, series in found.items() if not series] == []
    of_streams = {name: dict(by_stream(series)) for name, series in found.items() if ":stream_" in name}
    assert {frozenset(series) for series in of_streams.values()} == {frozenset(TABLES)}
    assert min(of_streams["icehaul:stream_rows:rate5m"].values()) >= 0
    assert max(of_streams["icehaul:stream_rows:rate5m"].values()) > 0
    days_of_the_past = 365 * 24 * 3600
    assert min(of_streams["icehaul:stream_lag:seconds"].values()) > days_of_the_past


@needs_program("prometheus")
def test_prometheus_knows_where_each_stream_has_come_to(demo: PlayedDemo) -> None:
    reached = demo.ask(f"max by (stream) (max_over_time(icehaul_watermark_timestamp_seconds{EVER}))")
    report = {one["name"]: datetime.fromisoformat(one["watermark"]).timestamp() for one in demo.report()["streams"]}
    # A stream may have gone on for a moment after the last scrape.
    assert dict(by_stream(reached)) == pytest.approx(report, abs=5)


def by_stream(series: list[tuple[dict[str, str], float]]) -> Iterator[tuple[str, float]]:
    return ((labels["stream"], value) for labels, value in series)


# ------------------------------------------------------------------------------------------- kept


def said(demo: PlayedDemo) -> str:
    """What the demo printed, but for how to go on with a stack that was kept."""
    before, _, rest = demo.output.partition(f"\n{STAYS_UP}\n")
    after = [line for line in rest.splitlines() if not line.startswith("  ")]
    return "\n".join([before, *after])


def offers(demo: PlayedDemo) -> list[str]:
    """The lines that a person may copy once the demo is over."""
    _, found, rest = demo.output.partition(f"\n{STAYS_UP}\n")
    assert found, demo.output
    return [line.removeprefix("  ") for line in rest.splitlines() if line.startswith("  ")]


@pytest.fixture(scope="module")
def shell(demo: PlayedDemo) -> str:
    """What the shell of a person has to hold: the project's folder, and what the demo says to export."""
    (demo.directory / ".venv").symlink_to(sys.prefix)
    (export,) = (line for line in offers(demo) if line.startswith("export "))
    return export


def run_in(shell: str, demo: PlayedDemo, line: str) -> str:
    """Run a line that the demo offers, as it stands there."""
    done = subprocess.run(
        ["bash", "-c", f"{shell}\n{line}"],
        cwd=demo.directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_a_kept_demo_offers_a_look_at_every_part_of_its_stack(demo: PlayedDemo, shell: str) -> None:
    programs = [shlex.split(line)[0] for line in offers(demo) if not line.startswith(("#", "JAVA_HOME="))]
    assert programs == ["export", *3 * [ICEHAUL], "curl", "psql", ".venv/bin/python", "kcat"]
    assert str(demo.root / "icehaul.yaml") in shell


def test_the_offered_commands_of_icehaul_are_understood_and_find_the_stack(demo: PlayedDemo, shell: str) -> None:
    lines = [line for line in offers(demo) if ICEHAUL in line]
    commands = [["icehaul", *line.partition(ICEHAUL)[2].split()] for line in lines]
    assert [words[1] for words in commands] == ["status", "plan", "verify", "run"]
    for words in commands:
        understand(words)
    status = run_in(shell, demo, lines[0])
    assert all(name in status for name in TABLES)


@pytest.mark.parametrize("program", ["curl", "psql", ".venv/bin/python", "kcat"])
def test_an_offered_look_past_icehaul_shows_what_the_demo_has_made(demo: PlayedDemo, shell: str, program: str) -> None:
    if "/" not in program and shutil.which(program) is None:
        pytest.skip(f"no {program} on the path")
    (line,) = (line for line in offers(demo) if line.startswith(f"{program} "))
    shown, report = run_in(shell, demo, line), demo.report()
    rows = {stream["name"]: stream["cold_rows"] for stream in report["streams"]}
    expected: dict[str, Callable[[], bool]] = {
        "curl": lambda: shown.strip() == str(rows["silver_trades"]),
        "psql": lambda: all(name in shown for name in TABLES),
        ".venv/bin/python": lambda: "bar_start" in shown and len(shown.splitlines()) > 5,
        "kcat": lambda: sum(bool(json.loads(event)) for event in shown.splitlines()) == report["events"],
    }
    assert expected[program](), shown


def test_make_demo_stop_ends_a_kept_demo_and_nothing_is_left_running(demo: PlayedDemo) -> None:
    assert processes_of(demo.root)
    stopped = demo_command(demo.directory, "stop")
    assert (stopped.returncode, stopped.stdout) == (0, "the demo's stack has been stopped\n"), stopped.stderr
    assert processes_of(demo.root) == []


def processes_of(root: Path) -> list[str]:
    """The command lines of what runs in a directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(root) in command:
            found.append(command)
    return found


def test_no_secret_stands_in_what_the_demo_leaves_behind(demo: PlayedDemo) -> None:
    secrets = [file.read_text() for file in (demo.root / "secrets").iterdir()]
    assert secrets
    for log in (*demo.root.glob("logs/*.log"), *demo.root.glob("traces/*.jsonl"), demo.root / "icehaul.yaml"):
        text = log.read_text(errors="replace")
        assert not any(secret in text for secret in secrets), log
    assert not any(secret in demo.output for secret in secrets)


def test_a_demo_that_is_not_kept_ends_its_stack_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one server, and a story without a scene: what begins and ends around it is what is looked at."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["python -m consumer.demo", "run"])
    monkeypatch.setattr(EmbeddedStack, "start", partial(EmbeddedStack.start, only=[ComponentName.POSTGRES]))
    ran: list[str] = []

    def play(*_: object) -> list[object]:
        ran.extend(processes_of(tmp_path))
        return []

    monkeypatch.setattr(demo_program, "_play", play)
    assert demo_program.main() == 0
    assert ran
    assert processes_of(tmp_path) == []
    with pytest.raises(StackNotRunningError):
        EmbeddedStack.attach(tmp_path / "var" / "demo" / "stack")
