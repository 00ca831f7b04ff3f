"""`icehaul replace` as an operator meets it, with real Spark tasks, and the commands of its page as written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from consumer.adapters.spark.engine import SparkEngine
from consumer.bootstrap import Application
from tests.integration.cli.conftest import Run
from tests.support.local_engine import LocalEngine
from tests.support.local_platform import offload
from tests.support.platform import Platform, day

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "replace-changed-rows.md"
CHANGE = "UPDATE price = price + 1 WHERE seq < 10"


@pytest.fixture
def offloaded(platform: Platform, stream: str, spark_engine: SparkEngine, monkeypatch: pytest.MonkeyPatch) -> str:
    """The stream, whose rows were changed after its 100 rows of one day had been offloaded."""
    look(platform, stream)
    mutate(platform, CHANGE)
    look(platform, stream)
    monkeypatch.setattr(Application, "engine", spark_engine)
    return stream


def look(platform: Platform, stream: str) -> None:
    """Let a consumer handle a tick."""
    configuration = platform.configuration()
    with Application(configuration, environment={}) as application:
        application.engine = LocalEngine(configuration, application.failpoints)
        assert offload(application, stream, day("2024-01-02")) == []


def mutate(platform: Platform, statement: str) -> None:
    platform.client.command(f"ALTER TABLE {platform.name}.trades {statement} SETTINGS mutations_sync = 2")


def test_the_page_works_as_written(icehaul: Run, offloaded: str) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line]
    commands = [shlex.split(line.replace("quickstart_trades", offloaded), comments=True)[1:] for line in lines]
    assert [command[0] for command in commands] == ["status", "replace", "replace", "replace"]
    for command in commands:
        ended = icehaul(*command)
        assert ended.code == 0, f"{command}: {ended.out}{ended.err}"
        if "--yes" in command:
            assert "replaced 1 window: 10 rows coming, 10 rows going" in ended.out
        elif command[0] == "replace":
            assert "would be replaced" in ended.out
            assert "nothing was changed: give --yes to do it" in ended.out
        else:
            assert "changed" in ended.out
    assert icehaul("verify", offloaded).code == 0
    assert icehaul("replace", offloaded, "--findings").code == 2, "there is nothing left to settle"


def test_what_is_shown_and_done_is_told_as_data(icehaul: Run, offloaded: str) -> None:
    span = ["--from", "2024-01-01", "--to", "2024-01-02", "--output", "json"]
    for options, verdict in (([], "replaceable"), (["--yes"], "replaced"), (["--yes"], "equal")):
        ended = icehaul("replace", offloaded, *span, *options)
        assert ended.code == 0
        (found,) = ended.data["windows"]
        assert (found["verdict"], ended.data["dry_run"]) == (verdict, not options)
        assert (found["snapshot_id"] is not None) == (verdict == "replaced")


def test_a_removal_has_to_be_asked_for(icehaul: Run, platform: Platform, offloaded: str) -> None:
    mutate(platform, "DELETE WHERE seq >= 50")
    span = ["--from", "2024-01-01", "--to", "2024-01-02", "--yes"]
    refused = icehaul("replace", offloaded, *span)
    assert refused.code == 1
    assert "give --remove-rows" in refused.out
    assert icehaul("replace", offloaded, *span, "--remove-rows").code == 0
    assert icehaul("verify", offloaded).code == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ([], "--findings"),
        (["--findings", "--from", "2024-01-01", "--to", "2024-01-02"], "--findings"),
        (["--from", "2024-01-01"], "--to"),
        (["--from", "2024-01-02", "--to", "2024-01-01"], "no stretch of time"),
        (["--from", "2024-01-01", "--to", "now"], "no stretch of time"),
        (["--from", "2030-01-01", "--to", "2030-01-02"], "has offloaded no window"),
    ],
)
def test_a_choice_that_means_nothing_is_refused(icehaul: Run, stream: str, options: list[str], named: str) -> None:
    ended = icehaul("replace", stream, *options)
    assert (ended.code, ended.out) == (2, "")
    ended.explained(named)
