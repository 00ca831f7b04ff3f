"""The page choose-a-mode.md works as written: the setting, what the commands say of it, and the change of a mode."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumer.bootstrap import Application
from consumer.domain.batch import BatchKind
from tests.integration.cli.conftest import Run
from tests.support.local_engine import LocalEngine
from tests.support.local_platform import offload, published
from tests.support.platform import Platform, day

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "choose-a-mode.md"
COLUMNS = "ts DateTime64(6, 'UTC'), id UInt64, seq UInt64, price Decimal(18, 8), version UInt64"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def prices(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> str:
    """A stream over versions of prices, with the settings of the page, beside the one that is there anyway."""
    (setting,) = blocks("yaml")
    chosen: dict[str, Any] = yaml.safe_load(setting)
    stream = platform.add_stream(
        "prices",
        columns="ts DateTime64(6, 'UTC'), id UInt64, seq UInt64, price Decimal(18, 8), version UInt64",
        **chosen,
    )
    platform.client.command(f"DROP TABLE {platform.name}.prices SYNC")
    platform.client.command(
        f"CREATE TABLE {platform.name}.prices ({COLUMNS}) ENGINE = ReplacingMergeTree(version)"
        " PARTITION BY toDate(ts) ORDER BY (ts, id)"
    )
    insert(platform, version=1)
    monkeypatch.setenv("ICEHAUL_CONFIG", str(platform.write()))
    configuration = platform.configuration()
    monkeypatch.setattr(Application, "engine", LocalEngine(configuration))
    return stream


def insert(platform: Platform, *, version: int, rows: int = 10) -> None:
    platform.client.command(
        f"INSERT INTO {platform.name}.prices SELECT toDateTime64('2024-01-01 00:00:00', 6, 'UTC') + number, number,"
        f" number, {version}, {version} FROM numbers({rows})"
    )


def test_the_page_works_as_written(icehaul: Run, platform: Platform, prices: str) -> None:
    assert icehaul("topics").code == 0
    with Application(platform.configuration(), environment={}) as application:
        assert offload(application, prices, day("2024-01-02")) == []
        insert(platform, version=2, rows=3)
        assert offload(application, prices, day("2024-01-02")) == []
        assert [one.kind for one in published(application, prices)].count(BatchKind.REPLACE) == 1
    lines = [line for block in blocks("bash") for line in block.splitlines() if line]
    commands = [shlex.split(line.replace("quickstart_prices", prices), comments=True)[1:] for line in lines]
    assert [command[0] for command in commands] == ["doctor", "plan", "status", "replace", "verify"]
    for command in commands:
        ended = icehaul(*command)
        assert ended.code == 0, f"{command}: {ended.out}{ended.err}"
        if command[0] in {"doctor", "plan", "status"}:
            assert "mode latest-version" in ended.out or "mode       latest-version" in ended.out
    (query,) = blocks("sql")
    query = query.replace("lake.prices", f"{platform.name}.prices")
    final = platform.client.query(f"SELECT * FROM {platform.name}.prices FINAL").result_rows
    assert {*map(tuple, platform.client.query(query).result_rows)} == {*map(tuple, final)}


def test_the_doctor_says_why_a_table_does_not_allow_a_mode(icehaul: Run, platform: Platform) -> None:
    platform.streams[0]["mode"] = "latest-version"
    platform.write()
    ended = icehaul("doctor", "--output", "json")
    told = [one for one in ended.data["findings"] if one["check"] == "source" and one["severity"] == "error"]
    assert [one["message"] for one in told] == [
        "mode latest-version is not possible: rows of MergeTree have no versions that FINAL could choose from"
    ]
    assert "replace-window" in told[0]["remedy"]
