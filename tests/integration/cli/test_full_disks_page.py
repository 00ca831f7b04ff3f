"""The page survive-full-disks-and-storms.md: its commands as they stand there, on a stream whose store is full."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from consumer.embedded.stack import EmbeddedStack
from tests.integration.cli.conftest import Run
from tests.support.local_platform import LocalPlatform, ledger_database, local_platform, offload, offload_once
from tests.support.platform import day
from tests.support.store_proxy import FULL, StoreProxy

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "survive-full-disks-and-storms.md"
TRADES = "quickstart_trades"
ROWS = 100


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


COMMANDS = [shlex.split(line, comments=True)[1:] for block in blocks("bash") for line in block.splitlines()]


@pytest.fixture
def proxy(stack: EmbeddedStack) -> Iterator[StoreProxy]:
    port = urlsplit(stack.endpoints.store.endpoint).port
    assert port is not None
    with StoreProxy(port) as running:
        yield running


@pytest.fixture
def platform(
    stack: EmbeddedStack, proxy: StoreProxy, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalPlatform]:
    """The page's stream, which has lost its store to a full disk."""
    with (
        ledger_database(stack.endpoints, unique_name) as dsn,
        local_platform(stack.endpoints, unique_name, dsn, tmp_path, monkeypatch) as made,
    ):
        made.sections["store"] = {"endpoint": f"http://127.0.0.1:{proxy.port}"}
        made.sections["clickhouse"] = {"store_endpoint": stack.endpoints.store.endpoint}
        made.add_stream(name=TRADES, on_failure={"attempts": 5, "initial": "1ms", "maximum": "1ms"})
        made.insert(ROWS)
        monkeypatch.setenv("ICEHAUL_CONFIG", str(made.write()))
        yield made


def words(text: str) -> str:
    """A text without what differs from run to run, and however it is wrapped."""
    plain = re.sub(r"s3://\S+|http://[\d.:]+|t_[0-9a-f]{12}|'[^']*'|[0-9a-f-]{36}", "X", text)
    return " ".join(plain.split())


def test_the_page_works_as_written(platform: LocalPlatform, proxy: StoreProxy, icehaul: Run) -> None:
    status, resume, audit = COMMANDS
    (shown,) = blocks("text")
    proxy.disturb("full", r"^(PUT|POST) \S*/data/", FULL)
    with platform.consumer() as consumer:
        offload_once(consumer, TRADES, day("2024-01-02"))
        halted = icehaul(*status)
        assert halted.code == 1
        assert "is halted" in halted.out
        assert words(shown) in words(halted.out)

        proxy.calm("full")
        resumed = icehaul(*resume)
        assert resumed.code == 0
        assert "1 parked event will be relayed" in resumed.out
        assert offload(consumer, TRADES, day("2024-01-02")) == []
    audited = icehaul(*audit, "--output", "json")
    assert audited.code == 0, audited.out
