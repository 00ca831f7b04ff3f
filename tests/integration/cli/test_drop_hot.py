"""`icehaul drop-hot` as an operator meets it, and the commands of its page as they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from consumer.bootstrap import Application
from tests.integration.cli.conftest import Run
from tests.support.local_engine import LocalEngine
from tests.support.local_platform import offload
from tests.support.platform import Platform, day

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "drop-from-the-hot-tier.md"
ID = "20240101"


@pytest.fixture
def offloaded(platform: Platform, stream: str) -> str:
    """The stream, with its 100 rows of one day in both tiers."""
    configuration = platform.configuration()
    with Application(configuration, environment={}) as application:
        application.engine = LocalEngine(configuration, application.failpoints)
        assert offload(application, stream, day("2024-01-02")) == []
    return stream


def test_the_page_works_as_written(icehaul: Run, platform: Platform, offloaded: str) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line]
    commands = [shlex.split(line.replace("quickstart_trades", offloaded), comments=True)[1:] for line in lines]
    assert [command[0] for command in commands] == ["status", "drop-hot", "drop-hot", "drop-hot", "verify"]
    assert ["--yes" in command for command in commands] == [False, False, False, True, False]
    for command in commands:
        ended = icehaul(*command)
        assert ended.code == 0, f"{command}: {ended.out}{ended.err}"
        assert platform.rows() == (0 if "--yes" in command or command[0] == "verify" else 100)


def test_looking_first_shows_digests_and_verdict(icehaul: Run, platform: Platform, offloaded: str) -> None:
    ended = icehaul("drop-hot", offloaded, "--partition", ID, "--output", "json")
    assert (ended.code, ended.err) == (0, "")
    (found,) = ended.data["partitions"]
    assert (ended.data["dry_run"], ended.data["good"]) == (True, True)
    assert (found["partition_id"], found["place"], found["rows"]) == (ID, "source", 100)
    assert found["hot_digest"] == found["cold_digest"]
    text = icehaul("drop-hot", offloaded, "--partition", ID).out
    assert "equal" in text
    assert "nothing was changed: give --yes to do it" in text
    assert platform.rows() == 100


def test_a_partition_above_the_watermark_is_refused_by_name(icehaul: Run, platform: Platform, offloaded: str) -> None:
    platform.insert(1, day="2024-01-05")
    ended = icehaul("drop-hot", offloaded, "--before", "2024-02-01", "--yes")
    assert (ended.code, ended.out) == (4, "")
    ended.explained("20240105", "at or above the watermark 2024-01-02")
    assert platform.rows() == 101


def test_rows_that_are_missing_are_found_and_keep_the_partition(
    icehaul: Run, platform: Platform, offloaded: str
) -> None:
    platform.insert(2, first=1_000)
    for options in ([], ["--yes"]):
        ended = icehaul("drop-hot", offloaded, "--partition", ID, *options)
        assert ended.code == 1
        assert "MISSING ROWS" in ended.out
        assert platform.rows() == 102
    assert "moved back" in ended.out


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--partition", ID, "--before", "2024-01-02"],
        ["--before", "soon"],
        ["--before", "now"],
        ["--partition", "x"],
    ],
)
def test_what_is_to_be_dropped_must_be_said_clearly(
    icehaul: Run, platform: Platform, offloaded: str, options: list[str]
) -> None:
    ended = icehaul("drop-hot", offloaded, *options)
    assert ended.code == 2
    ended.explained("--partition" if options[:1] != ["--before"] else "--before")


def test_what_was_never_offloaded_is_refused(icehaul: Run, platform: Platform, stream: str) -> None:
    ended = icehaul("drop-hot", stream, "--partition", ID, "--yes")
    assert ended.code == 4
    ended.explained("was never offloaded", f"icehaul plan {stream}")
