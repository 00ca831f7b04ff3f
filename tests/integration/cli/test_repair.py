"""`icehaul repair`, `replay` and `pause` as an operator meets them, and the commands of their pages as written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import closing
from functools import cached_property
from pathlib import Path

import pytest

from consumer.bootstrap import Application
from tests.integration.cli.conftest import Run
from tests.support.cold_tier import IcebergColdTier
from tests.support.local_engine import LocalEngine
from tests.support.local_platform import offload
from tests.support.platform import Platform, day

HOW_TO = Path(__file__).resolve().parents[3] / "docs" / "how-to"


def commands(page: str, stream: str) -> list[list[str]]:
    """The commands of a page, in order, for the test's own stream."""
    blocks = re.findall(r"```bash\n(.*?)```", (HOW_TO / page).read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line]
    return [shlex.split(line.replace("quickstart_trades", stream), comments=True)[1:] for line in lines]


def look(platform: Platform, stream: str, until: str) -> None:
    """Let a consumer handle a tick."""
    configuration = platform.configuration()
    with Application(configuration, environment={}) as application:
        assert offload(application, stream, day(until)) == []


@pytest.fixture
def offloaded(platform: Platform, stream: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The stream, with two days of 100 rows each in both tiers, two batches; its tasks run in this process."""
    engine = cached_property(_local_engine)
    engine.__set_name__(Application, "engine")
    monkeypatch.setattr(Application, "engine", engine)
    look(platform, stream, "2024-01-02")
    platform.insert(100, first=100, day="2024-01-02")
    look(platform, stream, "2024-01-03")
    return stream


def _local_engine(application: Application) -> LocalEngine:
    return LocalEngine(application.configuration, application.failpoints)


@pytest.fixture
def table(platform: Platform, offloaded: str) -> Iterator[IcebergColdTier]:
    """What other engines do to the stream's table."""
    configuration = platform.configuration()
    dsn = configuration.postgres.dsn.get_secret_value()
    with closing(IcebergColdTier(dsn=dsn, store=configuration.store)) as tier:
        tier.stream = configuration.by_name()[offloaded]
        yield tier


def test_the_page_about_repairs_works_as_written(
    icehaul: Run, platform: Platform, offloaded: str, table: IcebergColdTier
) -> None:
    table.roll_back(table.table().snapshots()[0].snapshot_id)
    look(platform, offloaded, "2024-01-03")
    played = commands("repair-a-stream.md", offloaded)
    assert [command[0] for command in played] == ["status", "repair", "repair", "verify", "verify"]
    for command in played:
        if command[0] == "verify":
            look(platform, offloaded, "2024-01-03")
        ended = icehaul(*command)
        dry = command[0] == "repair" and "--yes" not in command
        finding = dry or command[0] == "status"
        assert ended.code == (1 if finding else 0), f"{command}: {ended.out}{ended.err}"
        if command[0] == "status":
            assert f"icehaul repair {offloaded}" in ended.out
        if command[0] == "repair":
            assert "withdrawn: not in the table" in ended.out
            assert ("nothing was changed: give --yes to do it" in ended.out) == dry


def test_a_repair_is_told_as_data(icehaul: Run, offloaded: str, table: IcebergColdTier) -> None:
    table.drop()
    found = icehaul("repair", offloaded, "--output", "json")
    assert found.code == 1
    assert (found.data["target_exists"], found.data["needed"], found.data["dry_run"]) == (False, True, True)
    assert [one["rows"] for one in found.data["withdrawn"]] == [100, 100]
    done = icehaul("repair", offloaded, "--yes", "--output", "json")
    assert (done.code, done.data["rows_again"], done.data["lost"]) == (0, 200, [])
    again = icehaul("repair", offloaded, "--output", "json")
    assert (again.code, again.data["needed"]) == (0, False)


def test_a_repair_that_loses_rows_says_so_by_its_exit_code(
    icehaul: Run, platform: Platform, offloaded: str, table: IcebergColdTier
) -> None:
    table.roll_back(table.table().snapshots()[0].snapshot_id)
    platform.client.command(f"ALTER TABLE {platform.name}.trades DROP PARTITION '2024-01-02'")
    ended = icehaul("repair", offloaded, "--yes")
    assert ended.code == 1
    assert "100 rows are neither in the table nor in the source" in ended.out
    assert "--accept-findings" in ended.out


def test_the_page_about_replays_works_as_written(icehaul: Run, platform: Platform, offloaded: str) -> None:
    played = commands("replay-a-stretch-of-time.md", offloaded)
    assert [command[0] for command in played] == ["replay", "replay", "replay"]
    platform.insert(3, first=900, day="2024-01-01")
    for number, command in enumerate(played):
        ended = icehaul(*command)
        assert ended.code == 0, f"{command}: {ended.out}{ended.err}"
        assert ("supplemented" in ended.out) == (number == 0)
    assert icehaul("verify", offloaded).code == 0


def test_a_replay_of_a_table_that_lost_rows_halts_the_stream_with_the_command(
    icehaul: Run, offloaded: str, table: IcebergColdTier
) -> None:
    table.roll_back(table.table().snapshots()[0].snapshot_id)
    span = ["--stream", offloaded, "--from", "2024-01-01", "--to", "2024-01-03"]
    refused = icehaul("replay", *span)
    assert refused.code == 4
    refused.explained(f"icehaul repair {offloaded}")
    assert icehaul("replay", *span).code == 4, "it is halted now"
    assert icehaul("resume", offloaded).code == 0
    healed = icehaul("replay", *span, "--heal", "--output", "json")
    assert healed.code == 0
    assert (healed.data[0]["repaired"], healed.data[0]["lost"]) == (True, 0)
    assert sum(one["added"] for one in healed.data[0]["windows"]) == 100
    assert icehaul("verify", offloaded).code == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--from", "2024-01-02", "--to", "2024-01-01"], "no stretch of time"),
        (["--from", "now", "--to", "now"], "no stretch of time"),
        (["--from", "yesterday", "--to", "now"], "--from"),
    ],
)
def test_a_stretch_that_is_none_is_refused(icehaul: Run, stream: str, options: list[str], named: str) -> None:
    ended = icehaul("replay", "--stream", stream, *options)
    assert (ended.code, ended.out) == (2, "")
    ended.explained(named)


def test_the_page_about_pauses_works_as_written(icehaul: Run, platform: Platform, offloaded: str) -> None:
    played = commands("pause-a-stream.md", offloaded)
    assert [command[0] for command in played] == ["pause", "status", "resume"]
    platform.insert(10, first=500, day="2024-01-03")
    for command in played:
        ended = icehaul(*command)
        assert ended.code == (1 if command[0] == "status" else 0), f"{command}: {ended.out}{ended.err}"
        if command[0] == "pause":
            look(platform, offloaded, "2024-01-04")
            again = icehaul("pause", offloaded)
            assert again.code == 1
            assert "is halted already: paused by" in again.out
        if command[0] == "status":
            assert "the disk of the lake is moved" in ended.out
        if command[0] == "resume":
            assert "1 parked event" in ended.out
    look(platform, offloaded, "2024-01-04")
    assert icehaul("verify", offloaded).code == 0
