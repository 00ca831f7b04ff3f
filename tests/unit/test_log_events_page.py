"""The page of log events says what the code logs: every event, its levels and its fields, and nothing else."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.log_events import Said, UnreadableCallError, loggers_of_the_library, said_by, said_in
from tests.unit.service.test_batch_line import handle, log, told, world
from tests.unit.service.test_offload import World, rows

__all__ = ["log", "world"]

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "log-events.md"
TEXT = PAGE.read_text("utf-8")
PACKAGES = [ROOT / "consumer", ROOT / "spark"]
SAID = said_by(PACKAGES)
ROW = re.compile(r"^\| `([^`]+)` \| ([a-z, ]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
ROWS = ROW.findall(TEXT)
NAME = re.compile(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*")
IN_THEIR_OWN_WORDS = {
    "consumer/adapters/telemetry/otlp_lines.py",
    "consumer/embedded/clickhouse/serve.py",
    "consumer/embedded/clickhouse/server.py",
    "consumer/failpoints/acting.py",
}
"""Modules that log by the standard library: the embedded ClickHouse, and what the page names as exceptions."""


def levels_and_fields(said: list[Said]) -> dict[str, tuple[set[str], set[str]]]:
    found: dict[str, tuple[set[str], set[str]]] = {}
    for one in said:
        levels, fields = found.setdefault(one.event, (set(), set()))
        levels |= one.levels
        fields |= one.fields
    return found


CODE = levels_and_fields(SAID)
DOCUMENTED = {
    event: (set(levels.split(", ")), set(re.findall(r"`([a-z_]+)`", fields))) for event, levels, fields, _, _ in ROWS
}


def test_every_event_of_the_code_is_on_the_page_and_no_other() -> None:
    assert sorted(DOCUMENTED) == sorted(CODE)
    assert len(ROWS) == len(DOCUMENTED), "an event stands on the page twice"


@pytest.mark.parametrize("event", sorted(CODE))
def test_an_event_has_the_levels_and_fields_that_the_page_says(event: str) -> None:
    assert DOCUMENTED[event] == CODE[event], [said.place for said in SAID if said.event == event]


@pytest.mark.parametrize(("event", "meaning", "remedy"), [(row[0], row[3], row[4]) for row in ROWS])
def test_the_page_says_of_each_event_what_it_means_and_what_to_do(event: str, meaning: str, remedy: str) -> None:
    assert len(meaning) > 20, event
    assert remedy.strip(), event


@pytest.mark.parametrize("event", sorted(CODE))
def test_event_names_are_all_of_one_manner(event: str) -> None:
    assert NAME.fullmatch(event)


def test_nothing_logs_past_structlog_but_what_the_page_excepts() -> None:
    assert loggers_of_the_library(PACKAGES) == IN_THEIR_OWN_WORDS


def test_the_canonical_line_on_the_page_has_the_fields_of_a_real_one(world: World, log: io.StringIO) -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    world.insert(*rows(4))
    handle(world)
    (line,) = told(log)
    example = json.loads(shown)
    assert sorted(example) == sorted([*line, "trace_id", "span_id"])
    assert {name: type(value) for name, value in example.items()}.items() >= {
        name: type(value) for name, value in line.items()
    }.items()


def test_the_page_finds_lines_by_grep(world: World, log: io.StringIO, tmp_path: Path) -> None:
    (commands,) = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    trace_id = "6e4e8777c484dc64967a913159d25770"
    world.insert(*rows(4))
    world.arm("batch.before-write=raise@1")
    handle(world)
    world.ledger.resume("trades")
    handle(world)
    written = log.getvalue().replace("}\n", f', "trace_id": "{trace_id}"}}\n')
    (tmp_path / "consumer.log").write_text(written + '{"message": "other"}\n', encoding="utf-8")
    found = [grep(command, tmp_path) for command in commands.splitlines()]
    assert [len(lines) for lines in found] == [2, 1, written.count("\n")]
    assert all('"outcome": "failed"' in line for line in found[1])


def grep(command: str, directory: Path) -> list[str]:
    """Run a pipeline of greps, each of which is started by itself."""
    text = ""
    for part in command.split(" | "):
        text = subprocess.run(
            shlex.split(part), cwd=directory, input=text, capture_output=True, text=True, check=True
        ).stdout
    return text.splitlines()


def test_the_code_is_read_in_every_form_that_it_is_written_in() -> None:
    source = """
import structlog
_log = structlog.get_logger(__name__)

def plain(): _log.info("a.plain", one=1, exc_info=True)
def bound():
    log = _log.bind(one=1)
    log.bind(two=2).error("a.bound", three=3)
def chosen(bad):
    log = _log.info if bad else _log.warning
    log("a.chosen", one=1)
def made() -> object:
    line = _log.bind(one=1)
    return line
def used():
    line = made()
    line.exception("a.made")
"""
    assert {(said.event, tuple(sorted(said.levels)), tuple(sorted(said.fields))) for said in said_in(source, "x")} == {
        ("a.plain", ("info",), ("one",)),
        ("a.bound", ("error",), ("one", "three", "two")),
        ("a.chosen", ("info", "warning"), ("one",)),
        ("a.made", ("error",), ("one",)),
    }


@pytest.mark.parametrize(
    "statement",
    ["_log.info(name)", '_log.info("a.b", **fields)', 'getattr(_log, level)("a.b")', '_log.log(20, "a.b")'],
)
def test_a_call_that_cannot_be_read_is_refused_rather_than_passed_over(statement: str) -> None:
    with pytest.raises(UnreadableCallError):
        said_in(f"import structlog\n_log = structlog.get_logger()\ndef f():\n    {statement}\n", "x")
