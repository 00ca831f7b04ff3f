"""Changing a table's columns as the page tells it: its statements, its settings, its commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from consumer.bootstrap import Application
from tests.integration.cli.conftest import Run
from tests.support.local_engine import LocalEngine
from tests.support.local_platform import offload
from tests.support.platform import Platform, day

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "change-a-schema.md"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def offloaded(platform: Platform, stream: str) -> str:
    """The stream, whose rows of one day are offloaded."""
    go_on(platform, stream, "2024-01-02")
    return stream


def go_on(platform: Platform, stream: str, until: str) -> None:
    """Let a consumer whose tasks run in this process handle a tick."""
    configuration = platform.configuration()
    with Application(configuration, environment={}) as application:
        application.engine = LocalEngine(configuration, application.failpoints)
        assert offload(application, stream, day(until)) == []


def test_the_page_works_as_written(icehaul: Run, platform: Platform, offloaded: str) -> None:
    (statements,) = blocks("sql")
    for statement in statements.replace("market.trades", f"{platform.name}.trades").split(";\n"):
        if statement.strip():
            platform.client.command(f"{statement} SETTINGS mutations_sync = 2")
    platform.client.command(
        f"INSERT INTO {platform.name}.trades (ts, seq, symbol, venue) VALUES ('2024-01-02 00:00:00', 1, 'BTC', 'here')"
    )
    plan, verify = (block.replace("trades", offloaded).split()[1:] for block in blocks("bash"))
    planned = icehaul(*plan)
    for change in ("venue: added as string", "quantity: widened from decimal(18, 8) to decimal(38, 8)"):
        assert change in planned.out, planned.out
    go_on(platform, offloaded, "2024-01-03")
    assert icehaul(*verify).code == 0
    assert "with the next rows" not in icehaul(*plan).out


def test_a_rename_is_followed_as_the_page_says(icehaul: Run, platform: Platform, offloaded: str) -> None:
    platform.client.command(f"ALTER TABLE {platform.name}.trades RENAME COLUMN price TO amount")
    refused = icehaul("plan", offloaded)
    assert "renamed_columns: {amount: price}" in " ".join(refused.out.split())
    (settings,) = blocks("yaml")
    platform.streams[0]["renamed_columns"] = yaml.safe_load(settings)["streams"][0]["renamed_columns"]
    platform.write()
    assert "price: renamed to amount" in icehaul("plan", offloaded).out
    go_on(platform, offloaded, "2024-01-03")
    assert icehaul("verify", offloaded).code == 0
