"""`icehaul actions`, with the commands of threat-model.md as written."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.service.operator import operator
from tests.integration.cli.conftest import Run, spawn
from tests.support.postgres_server import running_postgres

PAGE = Path(__file__).resolve().parents[3] / "docs" / "explanation" / "threat-model.md"
CONFIGURATION = """
streams:
  - name: quickstart_trades
    source: market.trades
    target: market.trades
    timestamp_column: traded_at
    layer: bronze
"""


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, icehaul: Run) -> Iterator[None]:
    """A migrated ledger, and nothing else."""
    (tmp_path / "icehaul.yaml").write_text(CONFIGURATION)
    monkeypatch.setenv("ICEHAUL_CONFIG", str(tmp_path / "icehaul.yaml"))
    with running_postgres() as server:
        monkeypatch.setenv("ICEHAUL_POSTGRES__DSN", server.create_database())
        assert icehaul("migrate").code == 0
        yield


@pytest.mark.usefixtures("ledger")
def test_the_record_tells_who_did_what_and_why(icehaul: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    stream = "quickstart_trades"
    assert icehaul("resume", stream).code != 0, "nothing is known of the stream yet"
    assert icehaul("pause", stream, "--reason", "the disk is moved").code == 0
    assert icehaul("resume", stream, "--accept-findings").code == 0

    (block,) = re.findall(r"```bash\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    text, one = (icehaul(*shlex.split(line)[1:]) for line in block.splitlines())
    entries = one.data
    assert [(entry["command"], entry["phase"]) for entry in entries] == [
        ("resume", "begun"),
        ("resume", "failed"),
        ("pause", "begun"),
        ("pause", "done"),
        ("resume", "begun"),
        ("resume", "done"),
    ]
    assert {entry["operator"] for entry in entries} == {operator()}
    assert all(entry["streams"] == [stream] and entry["database_user"] for entry in entries)
    assert [entry["reason"] for entry in entries[2:4]] == ["the disk is moved"] * 2
    assert entries[1]["error"]
    assert entries[5]["arguments"] == {"accept_findings": "True"}
    assert "6 entries" in text.out
    for part in ("the disk is moved", operator(), stream):
        assert part in text.out


@pytest.mark.usefixtures("ledger")
def test_a_command_that_is_killed_leaves_its_beginning(icehaul: Run) -> None:
    killed = spawn("pause", "quickstart_trades", environment={"ICEHAUL_FAILPOINTS": "stream.after-pause=kill"})
    assert killed.code == -signal.SIGKILL, killed.err
    (entry,) = icehaul("actions", "--output", "json").data
    assert (entry["command"], entry["phase"]) == ("pause", "begun")
