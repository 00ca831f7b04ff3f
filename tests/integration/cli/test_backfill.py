"""`icehaul backfill` as an operator meets it, and the commands of its page, backfill.md, as they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from consumer.bootstrap import Application
from tests.integration.cli.conftest import Run
from tests.support.histories import relayed
from tests.support.local_engine import LocalEngine
from tests.support.local_platform import deliver, offload
from tests.support.platform import Platform, day

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "backfill.md"
RANGE = ("--from", "2024-01-01", "--to", "2024-01-03")


@pytest.fixture
def started(platform: Platform, stream: str) -> str:
    """The stream, which starts on its third day: 100 rows of history on the first, 20 live ones on the third."""
    platform.streams[0]["start"] = "2024-01-03"
    platform.insert(20, first=1_000, day="2024-01-03")
    with consumer(platform) as application:
        assert offload(application, stream, day("2024-01-04")) == []
    return stream


def consumer(platform: Platform) -> Application:
    configuration = platform.configuration()
    application = Application(configuration, environment={})
    application.engine = LocalEngine(configuration, application.failpoints)
    return application


def work(platform: Platform, stream: str) -> None:
    with consumer(platform) as application:
        while events := [one for one in relayed(application) if one.stream == stream]:
            for event in events:
                deliver(application, event)


def test_the_page_works_as_written(icehaul: Run, platform: Platform, started: str) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line]
    commands = [shlex.split(line.replace("quickstart_trades", started), comments=True)[1:] for line in lines]
    assert [command[0] for command in commands] == ["backfill", "backfill", "backfill", "status", "backfill"]
    for command in commands:
        ended = icehaul(*command)
        assert ended.code == 0, f"{command}: {ended.out}{ended.err}"
    assert "cancelled at 2024-01-01 00:00:00; 0 rows" in ended.out


def test_a_range_is_shown_asked_for_followed_and_done(icehaul: Run, platform: Platform, started: str) -> None:
    shown = icehaul("backfill", started, *RANGE, "--dry-run", "--output", "json")
    assert (shown.code, shown.data["dry_run"], shown.data["remaining_rows"]) == (0, True, 100)
    assert "nothing was asked for" in icehaul("backfill", started, *RANGE, "--dry-run").out
    assert "is recorded; the consumers do it" in icehaul("backfill", started, *RANGE).out
    (listed,) = icehaul("backfill", "--list", "--output", "json").data["requests"]
    assert (listed["state"], listed["remaining_rows"], listed["rows"]) == ("open", 100, 0)
    assert "0% done" in icehaul("status", started).out
    assert "one batch after each event" in icehaul("plan", started).out
    work(platform, started)
    (done,) = icehaul("backfill", started, "--list", "--output", "json").data["requests"]
    assert (done["state"], done["rows"], done["remaining"]) == ("done", 100, [])
    assert "done" in icehaul("backfill", "--list").out
    assert icehaul("verify", started, "--output", "json").code == 0
    again = icehaul("backfill", started, *RANGE)
    assert again.code == 2
    again.explained("is done already")


def test_newest_first_the_range_is_recorded_in_stretches(icehaul: Run, platform: Platform, started: str) -> None:
    platform.streams[0]["batch"] = {"window": "1d"}
    platform.write()
    asked = icehaul("backfill", started, *RANGE, "--newest-first")
    assert "in 2 requests, the newest rows first" in asked.out
    assert "and 1 more are recorded" in asked.out
    listed = icehaul("backfill", "--list", "--output", "json").data["requests"]
    assert [one["from"][:10] for one in listed] == ["2024-01-01", "2024-01-02"], "the list has the latest request first"
    work(platform, started)
    assert icehaul("verify", started, "--output", "json").code == 0


def test_a_start_that_was_moved_is_reported_and_changes_nothing(icehaul: Run, platform: Platform, started: str) -> None:
    platform.streams[0]["start"] = "2023-06-01"
    platform.write()
    said = "start 2023-06-01 00:00:00 is configured, but the stream has started at 2024-01-03 00:00:00"
    assert said in icehaul("status", started).out
    assert said in icehaul("plan", started).out
    assert f"{said}, and that counts" in icehaul("doctor", "--output", "json").out
    assert icehaul("status", "--output", "json").data["streams"][0]["start"] == "2024-01-03T00:00:00+00:00"


WRONG: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    ((), ("exactly one of these says what to do",)),
    (("--from", "2024-01-01"), ("--to is missing",)),
    (("--to", "2024-01-01"), ("--from is missing",)),
    ((*RANGE, "--list"), ("exactly one",)),
    (("--list", "--cancel"), ("exactly one",)),
    (("--cancel",), ("no open backfill",)),
    (("--from", "soon", "--to", "2024-01-02"), ("--from: 'soon' is no instant",)),
    (("--from", "2024-01-01", "--to", "now"), ("--to: 'now' is no bound of history",)),
    (("--from", "2024-01-02", "--to", "2024-01-01"), ("--from 2024-01-02", "is not before")),
    (("--from", "2024-01-02", "--to", "2025-01-01"), ("--to 2025-01-01", "watermark 2024-01-04")),
)


def test_what_makes_no_sense_is_refused_with_option_value_and_remedy(icehaul: Run, started: str) -> None:
    for options, parts in WRONG:
        ended = icehaul("backfill", started, *options)
        assert ended.code == 2, options
        ended.explained(*parts)


def test_a_stream_that_is_not_configured_is_refused(icehaul: Run, started: str) -> None:
    for arguments in (("nobody", *RANGE), ("nobody", "--cancel"), ("nobody", "--list")):
        ended = icehaul("backfill", *arguments)
        assert ended.code == 2
        ended.explained("there is no stream 'nobody'")
    ended = icehaul("backfill", *RANGE)
    ended.explained("STREAM is missing")
