"""`icehaul rewind` as an operator meets it, with real Spark tasks, and its page, rewind.md, as written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from consumer.adapters.spark.engine import SparkEngine
from consumer.bootstrap import Application
from tests.integration.cli.conftest import Ended, Run
from tests.support.local_engine import LocalEngine
from tests.support.local_platform import offload
from tests.support.platform import Platform, day

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "rewind.md"
CUTOFF = day("2024-01-04")


@pytest.fixture
def offloaded(platform: Platform, stream: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The stream, with three days of 100 rows in both tiers; tasks run in this process until a test wants Spark."""
    for number in (2, 3):
        platform.insert(100, first=number * 100, day=f"2024-01-0{number}")
    monkeypatch.setattr(Application, "engine", property(local_engine))
    write(platform, stream)
    return stream


def local_engine(application: Application) -> LocalEngine:
    return LocalEngine(application.configuration, application.failpoints)


def write(platform: Platform, stream: str) -> None:
    """Let a consumer handle a tick."""
    with Application(platform.configuration(), environment={}) as application:
        assert offload(application, stream, CUTOFF) == []


def shown(text: str, platform: Platform, stream: str) -> str:
    """What a command has said, with the page's names."""
    names: Mapping[str, str] = {
        stream: "quickstart_trades",
        f"{platform.name}.trades": "bronze.quickstart_trades",
        r"snapshot \d+": "snapshot 4711",
    }
    for name, known in names.items():
        text = re.sub(name, known, text)
    return folded(text)


def folded(text: str) -> str:
    """A text, wherever its lines are broken."""
    return " ".join(text.split())


def test_the_page_works_as_written(
    icehaul: Run, platform: Platform, offloaded: str, spark_engine: SparkEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"```(bash)?\n(.*?)```", page, re.DOTALL)
    monkeypatch.setattr(Application, "engine", spark_engine)
    assert icehaul("topics").code == 0
    said = ""
    commands = []
    for language, block in blocks:
        if not language:
            assert said == re.sub(r"snapshot \d+", "snapshot 4711", folded(block))
            continue
        for line in block.splitlines():
            words = shlex.split(line.replace("quickstart_trades", offloaded), comments=True)[1:]
            ended = run(icehaul, platform, offloaded, words)
            commands.append(words[0])
            said = shown(ended.out, platform, offloaded)
    assert commands == ["rewind", "rewind", "emit", "verify", "rewind", "rewind"]
    assert icehaul("verify", offloaded).code == 0


def run(icehaul: Run, platform: Platform, stream: str, words: list[str]) -> Ended:
    """Run a command of the page once what the page tells of has happened."""
    refused = "2024-01-03" in words and "--force" not in words
    if refused:
        platform.client.command(f"ALTER TABLE {platform.name}.trades DROP PARTITION '2024-01-03'")
    ended = icehaul(*words)
    assert ended.code == (1 if refused else 0), f"{words}: {ended.out}{ended.err}"
    if words[0] == "emit":
        write(platform, stream)
    return ended


def test_what_is_shown_and_done_is_told_as_data(icehaul: Run, platform: Platform, offloaded: str) -> None:
    to = ["--to", "2024-01-02T00:00:00.040", "--output", "json"]
    for options, verdict in ((["--dry-run"], "possible"), (["--yes"], "rewound"), (["--yes"], "there")):
        ended = icehaul("rewind", offloaded, *to, *options)
        assert ended.code == 0
        found = ended.data
        assert (found["verdict"], found["dry_run"]) == (verdict, "--yes" not in options)
        assert (found["snapshot_id"] is not None) == (verdict == "rewound")
        if verdict != "there":
            assert (found["rows_going"], found["rows_written_anew"]) == (160, 40)
            assert found["kept"]["rows"] == 140
            assert found["watermark_before"] == "2024-01-04T00:00:00+00:00"
    with Application(platform.configuration(), environment={}) as application:
        assert application.catalog.snapshots(application.streams[offloaded].target) == 2
    assert icehaul("verify", offloaded).code == 0


def test_rows_of_the_source_that_are_gone_are_named_with_their_window(
    icehaul: Run, platform: Platform, offloaded: str
) -> None:
    platform.client.command(f"ALTER TABLE {platform.name}.trades DROP PARTITION '2024-01-03'")
    refused = icehaul("rewind", offloaded, "--to", "2024-01-02", "--yes", "--output", "json")
    assert refused.code == 1
    assert refused.data["verdict"] == "refused"
    assert "200 rows recorded, 100 in the source" in refused.data["windows"][0]["doubt"]
    assert icehaul("status", offloaded, "--output", "json").data["streams"][0]["watermark"].startswith("2024-01-04")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--to", "soon"], "--to: 'soon' is no instant"),
        (["--to", "now"], "--to: 'now'"),
        (["--to", "2024-01-02", "--force"], "--force, --reason"),
        (["--to", "2024-01-02", "--reason", "because"], "--force, --reason"),
        (["--to", "2024-01-02", "--force", "--reason", " "], "--force, --reason"),
        (["--to", "2024-01-02", "--dry-run", "--yes"], "--dry-run, --yes"),
        (["--to", "2024-01-02"], "was never read"),
    ],
)
def test_a_wish_that_means_nothing_is_refused(icehaul: Run, stream: str, options: list[str], named: str) -> None:
    ended = icehaul("rewind", stream, *options)
    assert (ended.code, ended.out) == (2, "")
    ended.explained(named)
