"""`icehaul maintain --only removal` as an operator meets it, and its page, remove-unreferenced-files.md, as written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from consumer.bootstrap import Application
from consumer.embedded.stack import EmbeddedStack
from tests.integration.cli.conftest import Run
from tests.support.local_engine import LocalEngine
from tests.support.local_platform import LocalPlatform, local_platform, offload
from tests.support.platform import day

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "remove-unreferenced-files.md"


@pytest.fixture
def local(
    stack: EmbeddedStack, unique_name: str, ledger_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalPlatform]:
    """A stream that keeps one snapshot of five, and lists few of its former metadata files."""
    with local_platform(stack.endpoints, unique_name, ledger_dsn, tmp_path, monkeypatch) as made:
        stream = made.add_stream(retain_snapshots=1, table_properties={"write.metadata.previous-versions-max": "1"})
        monkeypatch.setenv("ICEHAUL_CONFIG", str(made.write()))
        with made.consumer() as application:
            for number in range(1, 6):
                made.insert(10, first=number * 10, day=f"2024-01-0{number}")
                offload(application, stream, day(f"2024-01-0{number + 1}"))
        monkeypatch.setattr(Application, "engine", property(_engine))
        yield made


def _engine(application: Application) -> LocalEngine:
    return LocalEngine(application.configuration, application.failpoints)


@pytest.fixture
def stream(local: LocalPlatform) -> str:
    return str(local.streams[0]["name"])


def told(icehaul: Run, *arguments: str) -> dict[str, Any]:
    """What the command says of the one task of the one stream."""
    ended = icehaul("maintain", *arguments, "--only", "removal", "--output", "json")
    assert ended.code == 0, ended.err
    ((task,),) = (one["tasks"] for one in ended.data["streams"])
    assert task["task"] == "removal"
    return dict(task)


def age(local: LocalPlatform, stream: str) -> int:
    with psycopg.connect(local.dsn) as connection:
        return connection.execute(
            "UPDATE offload_superfluous SET found = found - interval '3 days' WHERE stream = %s", [stream]
        ).rowcount


def test_the_commands_of_the_page_run_and_the_figures_are_those_of_the_audit(
    icehaul: Run, local: LocalPlatform, stream: str
) -> None:
    page = PAGE.read_text("utf-8")
    (block,) = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    dry, run = (
        shlex.split(line, comments=True)[1:] for line in block.replace("quickstart_trades", stream).splitlines()
    )
    first = icehaul(*dry)
    assert first.code == 0
    assert "removal: nothing to do" in first.out
    assert "superfluous" in first.out
    assert icehaul(*run).code == 0
    noted = age(local, stream)
    assert noted > 0
    planned = told(icehaul, stream, "--dry-run")
    audit = icehaul("verify", "--all", stream, "--output", "json").data["streams"][0]
    (orphans,) = [one for one in audit["checks"] if one["name"] == "orphans"]
    figures = orphans["figures"]
    assert planned["files_gone"] == noted == figures["left behind"] + figures["former metadata"]
    assert planned["bytes_gone"] == figures["left behind, bytes"] + figures["former metadata, bytes"]
    assert icehaul(*run).code == 0
    assert told(icehaul, stream, "--dry-run")["files_gone"] == 0
    assert icehaul("verify", "--all", stream).code == 0


def test_the_policy_of_the_page_is_accepted_and_periods_that_are_too_short_are_refused(
    icehaul: Run, local: LocalPlatform, stream: str
) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (written,) = yaml.safe_load(block)["streams"]
    local.streams[0]["maintenance"] = written["maintenance"]
    local.write()
    assert icehaul("config", "show").code == 0
    for field in ("grace", "unknown_after"):
        local.streams[0]["maintenance"] = {"removal": {field: "23h"}}
        local.write()
        refused = icehaul("config", "show")
        assert refused.code != 0
        refused.explained(f"maintenance.removal.{field}", "23:00:00 is too short", "1d is the least")
