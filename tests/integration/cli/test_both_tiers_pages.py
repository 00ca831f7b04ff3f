"""The pages take-a-consistent-cut.md and query-both-tiers.md: every command and snippet is run as it stands there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from consumer.bootstrap import Application
from consumer.embedded.stack import EmbeddedStack
from tests.integration.cli.conftest import Ended, Run
from tests.support.local_platform import LocalPlatform, ledger_database, local_platform, offload
from tests.support.platform import day
from tests.support.processes import icehaul as process
from tests.support.waiting import wait_until

pytestmark = pytest.mark.thorough

HOW_TO = Path(__file__).resolve().parents[3] / "docs" / "how-to"
TRADES, BARS = "quickstart_trades", "quickstart_bars"


def snippets(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (HOW_TO / page).read_text(encoding="utf-8"), re.DOTALL)


def commands(page: str) -> list[list[str]]:
    return [shlex.split(line)[1:] for block in snippets(page, "bash") for line in block.splitlines()]


@pytest.fixture
def platform(
    stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalPlatform]:
    """The pages' streams on a ledger of their own; trades have been read further than bars."""
    with (
        ledger_database(stack.endpoints, unique_name) as dsn,
        local_platform(stack.endpoints, unique_name, dsn, tmp_path, monkeypatch) as made,
    ):
        for stream, table in ((TRADES, "trades"), (BARS, "bars")):
            made.add_stream(table, name=stream, retain_snapshots=3)
        monkeypatch.setenv("ICEHAUL_CONFIG", str(made.write()))
        for number in (1, 2, 3):
            for table in ("trades", "bars"):
                made.insert(10, table=table, first=number * 10 - 10, day=f"2024-01-0{number}")
        with made.consumer() as application:
            advance(application, 2)
        yield made


def advance(application: Application, to: int) -> None:
    """Offload trades up to noon of a January day, and bars up to its beginning."""
    offload(application, BARS, day(f"2024-01-{to:02}"))
    offload(application, TRADES, day(f"2024-01-{to:02}").replace(hour=12))


def fits(ended: Ended) -> dict[str, str]:
    assert ended.err == ""
    return {one["name"]: one["fit"] for one in ended.data["streams"]}


def test_the_page_on_cuts_works_as_written(
    platform: LocalPlatform, icehaul: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    least, at, tag, untag = commands("take-a-consistent-cut.md")
    text = icehaul(*least)
    assert text.code == 0
    assert "a consistent cut through 2 streams at 2024-01-02 00:00:00" in text.out
    assert fits(icehaul(*at)) == {TRADES: "straddles", BARS: "exact"}

    refused = icehaul(*tag)
    assert refused.code == 2
    refused.explained(f"stream {TRADES} has been read up to 2024-01-02T12:00:00+00:00 only")
    with platform.consumer() as application:
        advance(application, 3)
        tagged = icehaul(*tag, "--output", "json")
        assert (tagged.code, tagged.data["tag"]) == (0, "close-2024-01-02")
        for number in range(4, 9):
            platform.insert(10, first=number * 10, day=f"2024-01-{number:02}")
            offload(application, TRADES, day(f"2024-01-{number + 1:02}"))
    gone = icehaul(*least[:1], TRADES, "--at", "2024-01-03", "--output", "json", "--tag", "late")
    assert (gone.code, fits(gone), gone.data["tag"]) == (1, {TRADES: "not retained"}, None)
    assert "retain_snapshots (3 now)" in gone.data["streams"][0]["remedy"]

    (block,) = snippets("take-a-consistent-cut.md", "python")
    for name, value in platform.endpoints.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ICEHAUL_POSTGRES__DSN", platform.dsn)
    shown = {"bronze.quickstart_trades": f"{platform.name}.trades", "exchange_timestamp": "ts"}
    for one, other in shown.items():
        assert one in block
        block = block.replace(one, other)
    defined: dict[str, Any] = {}
    exec(block, defined)  # noqa: S102 - the documentation's own snippet
    defined["catalog"].engine.dispose()
    assert sorted(int(row["seq"]) for row in defined["rows"].to_pylist()) == list(range(20))

    removed = icehaul(*untag, "--output", "json")
    assert removed.data == {"untagged": "close-2024-01-02", "streams": [TRADES, BARS]}


def test_the_page_on_both_tiers_works_as_written(
    platform: LocalPlatform, icehaul: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, follow, drop = commands("query-both-tiers.md")
    (query,) = snippets("query-both-tiers.md", "sql")
    view = f"{platform.name}.trades_both_tiers"
    query = query.replace("quickstart.trades_both_tiers", view).replace("exchange_timestamp", "ts")

    made = icehaul(*make)
    assert (made.code, made.err) == (0, "")
    assert f"{view} replaced: hot rows from 2024-01-02 12:00:00 on, snapshot" in made.out
    assert "it lasts for 2 further publishes" in made.out
    assert icehaul(*make, "--output", "json").data["views"][0]["replaced"] is False
    assert platform.client.query(query).result_rows[0][0] == 30

    monkeypatch.setenv("PYTHONPATH", str(HOW_TO.parents[1]))
    with process(*follow, log=tmp_path / "follow.log", environment=platform.environment()) as follower:
        assert follower.wait_for("view.following")
        with platform.consumer() as application:
            offload(application, TRADES, day("2024-01-04"))
        wait_until(lambda: "2024-01-04T00:00:00" in comment(platform), seconds=60, what="the view to follow")
        assert follower.terminate() == 0
    platform.client.command(f"TRUNCATE TABLE {platform.name}.trades")
    assert platform.client.query(query).result_rows[0][0] == 30

    dropped = icehaul(*drop, "--output", "json")
    assert dropped.data == {"dropped": [view]}
    assert icehaul(*drop, "--output", "json").data == {"dropped": []}


def comment(platform: LocalPlatform) -> str:
    """What the view says of itself."""
    found = platform.client.query(
        "SELECT comment FROM system.tables WHERE name = 'trades_both_tiers' AND database = {database:String}",
        parameters={"database": platform.name},
    )
    return str(found.result_rows[0][0])


def test_the_configuration_of_a_named_collection_has_the_keys_that_the_view_uses() -> None:
    (block,) = snippets("query-both-tiers.md", "xml")
    opened = re.findall(r"<(\w+)>", block)
    assert opened == ["clickhouse", "named_collections", "icehaul_store", "access_key_id", "secret_access_key"]
    assert sorted(re.findall(r"</(\w+)>", block)) == sorted(opened)


REFUSED = (
    (["cut", "--at", "now"], "--at now"),
    (["cut", "--untag", "a", "--tag", "b"], "--untag is given"),
    (["cut", "nobody"], "there is no stream 'nobody'"),
    (["cut", "--at", "2024-01-02", "--tag", "a b"], "no name of a tag"),
    (["view", "nobody"], "there is no stream 'nobody'"),
    (["view", TRADES, BARS, "--name", "a.b"], "--name is given for several streams"),
    (["view", TRADES, "--name", "ab"], "--name: 'ab' has no database part"),
    (["view", TRADES, "--drop", "--follow"], "--drop and --follow"),
    (["view", TRADES, "--named-collection", "a b"], "--named-collection"),
    (["view", TRADES, "--name", "nowhere.v"], "there is no database nowhere"),
)


def test_what_can_not_be_meant_is_refused(platform: LocalPlatform, icehaul: Run) -> None:
    for arguments, said in REFUSED:
        ended = icehaul(*arguments)
        assert (ended.code, ended.out) == (2, "")
        ended.explained(said)
    with closing(platform.cold_tier(TRADES)) as tier:
        assert set(tier.table().refs()) == {"main"}
