"""`icehaul restore` as an operator meets it, and the commands of its page as they stand there."""

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

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "restore.md"


@pytest.fixture
def offloaded(platform: Platform, stream: str) -> str:
    """The stream, with its 100 rows of one day in both tiers."""
    configuration = platform.configuration()
    with Application(configuration, environment={}) as application:
        application.engine = LocalEngine(configuration, application.failpoints)
        assert offload(application, stream, day("2024-01-02")) == []
    return stream


def count(platform: Platform, table: str) -> int:
    return int(platform.client.query(f"SELECT count() FROM {platform.name}.{table}").result_rows[0][0])


def test_the_page_works_as_written(icehaul: Run, platform: Platform, offloaded: str) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line]
    commands = [
        shlex.split(line.replace("quickstart_trades", offloaded).replace("quickstart.", f"{platform.name}."))[1:]
        for line in lines
    ]
    assert [command[0] for command in commands] == [
        *["restore"] * 4,
        *["cut", "restore"],
        *["drop-hot", "restore", "verify"],
    ]
    for command in commands:
        # The ledger has streams of other tests besides.
        ended = icehaul(*command, offloaded) if command[0] == "cut" else icehaul(*command)
        assert ended.code == 0, f"{command}: {ended.out}{ended.err}"
    assert [count(platform, table) for table in ("trades", "trades_back", "month_end")] == [100] * 3


def test_looking_first_shows_rows_digest_and_the_table_that_would_be_made(
    icehaul: Run, platform: Platform, offloaded: str
) -> None:
    into = f"{platform.name}.back"
    ended = icehaul("restore", offloaded, "--into", into, "--create", "--output", "json")
    assert (ended.code, ended.err) == (0, "")
    assert (ended.data["dry_run"], ended.data["standing"], ended.data["rows"]) == (True, "absent", 100)
    (window,) = ended.data["windows"]
    assert (window["proved"], window["digest"]) == (True, ended.data["digest"])
    text = icehaul("restore", offloaded, "--into", into, "--create").out
    assert "nothing was changed: give --yes to do it" in text

    statement = icehaul("restore", offloaded, "--into", into, "--ddl").out
    assert statement.strip() in text
    platform.client.command(statement)
    done = icehaul("restore", offloaded, "--into", into, "--yes", "--output", "json")
    assert (done.code, done.data["standing"], count(platform, "back")) == (0, "empty", 100)
    again = icehaul("restore", offloaded, "--into", into, "--yes")
    assert (again.code, count(platform, "back")) == (0, 100)
    assert "holds just these rows already" in again.out


def test_rows_that_stand_there_already_are_refused(icehaul: Run, platform: Platform, offloaded: str) -> None:
    platform.client.command(f"CREATE TABLE {platform.name}.back AS {platform.name}.trades")
    platform.client.command(f"INSERT INTO {platform.name}.back SELECT * FROM {platform.name}.trades LIMIT 3")
    ended = icehaul("restore", offloaded, "--into", f"{platform.name}.back", "--yes")
    assert (ended.code, ended.out) == (4, "")
    ended.explained("holds 3 rows of the stretch already", "would stand there twice")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--window", "2024-01-01"], "--window"),
        (["--window", "2024-01-02/2024-01-01"], "no stretch of time"),
        (["--window", "2024-01-01/2024-01-02", "--from", "2024-01-01"], "--window is given with"),
        (["--from", "soon"], "--from"),
        (["--snapshot", "1", "--tag", "x"], "--snapshot is given with --tag"),
        (["--snapshot", "1"], "no snapshot 1"),
        (["--into", "back"], "--into"),
    ],
)
def test_what_is_to_be_restored_must_be_said_clearly(
    icehaul: Run, platform: Platform, offloaded: str, options: list[str], named: str
) -> None:
    into = [] if "--into" in options else ["--into", f"{platform.name}.back"]
    ended = icehaul("restore", offloaded, *into, *options)
    assert ended.code == 2
    ended.explained(named)


def test_what_was_never_offloaded_is_refused(icehaul: Run, platform: Platform, stream: str) -> None:
    ended = icehaul("restore", stream, "--into", f"{platform.name}.back", "--create", "--yes")
    assert ended.code == 4
    ended.explained("nothing", f"{stream}")
