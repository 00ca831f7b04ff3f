"""`icehaul maintain` as an operator meets it, with real Spark tasks, and its page, compact-small-files.md."""

from __future__ import annotations

import re
import shlex
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from consumer.adapters.spark.engine import SparkEngine
from consumer.bootstrap import Application
from consumer.settings.model import StreamSettings
from tests.integration.cli.conftest import Ended, Run
from tests.support.local_engine import LocalEngine
from tests.support.local_platform import offload
from tests.support.platform import Platform, day

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "compact-small-files.md"
CUTOFFS = [day("2024-01-01") + timedelta(milliseconds=40), day("2024-01-02") + timedelta(milliseconds=40)]


def local_engine(application: Application) -> LocalEngine:
    return LocalEngine(application.configuration, application.failpoints)


@pytest.fixture
def offloaded(platform: Platform, stream: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The stream, with two days of 100 rows in two files each; tasks run in this process until a test wants Spark."""
    platform.insert(100, first=200, day="2024-01-02")
    monkeypatch.setattr(Application, "engine", property(local_engine))
    with Application(platform.configuration(), environment={}) as application:
        for cutoff in (*CUTOFFS, day("2024-01-04")):
            assert offload(application, stream, cutoff) == []
    return stream


def folded(ended: Ended, platform: Platform, stream: str) -> str:
    """What a command has said, with the page's names and sizes, wherever its lines are broken."""
    text = ended.out.replace(f"{platform.name}.trades", "bronze.quickstart_trades").replace(stream, "quickstart_trades")
    return " ".join(re.sub(r"[0-9],[0-9]{3}(?= )", "9,000", re.sub("[┏┓┗┛┡┩└┘━─┳╇┴]+", "", text)).split())


def test_the_page_works_as_written(
    icehaul: Run, platform: Platform, offloaded: str, spark_engine: SparkEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Application, "engine", spark_engine)
    said: Ended | None = None
    commands = []
    for language, block in re.findall(r"```(\w*)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        if language == "yaml":
            (settings,) = yaml.safe_load(block)["streams"]
            assert StreamSettings.model_validate(settings).to_stream().maintenance.enabled
        elif not language:
            assert said is not None
            expected = Ended(code=0, out=block, err="")
            assert folded(said, platform, offloaded) == folded(expected, platform, offloaded)
        for line in block.splitlines() if language == "bash" else ():
            words = shlex.split(line.replace("quickstart_trades", offloaded))[1:]
            said = icehaul(*words)
            assert said.code == 0, f"{words}: {said.out}{said.err}"
            commands.append(words[0])
    assert commands == ["maintain", "maintain", "verify"]
    assert icehaul("verify", "--all", offloaded).code == 0


def test_what_is_shown_and_done_is_told_as_data(icehaul: Run, platform: Platform, offloaded: str) -> None:
    sizes = []
    for options in (["--dry-run"], [], []):
        ended = icehaul("maintain", *options, "--only", "compaction", "--output", "json")
        assert ended.code == 0, ended.err
        (found,) = ended.data["streams"]
        (task,) = found["tasks"]
        assert (found["stream"], task["task"], task["left"]) == (offloaded, "compaction", [])
        sizes.append((ended.data["dry_run"], len(task["parts"]), task["files_gone"]))
    assert sizes == [(True, 2, 2), (False, 2, 2), (False, 0, 0)]
    assert icehaul("verify", "--all", offloaded).code == 0


def test_a_task_and_a_stream_that_do_not_exist_are_named(icehaul: Run, stream: str) -> None:
    assert icehaul("maintain", "--only", "tidying").code == 2
    ended = icehaul("maintain", "nothing")
    assert (ended.code, ended.out) == (2, "")
    ended.explained("STREAM", "'nothing'")
