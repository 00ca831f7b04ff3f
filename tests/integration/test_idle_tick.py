"""What a tick with nothing to read costs: the round trips to each server are counted, so that they don't creep up."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from consumer.adapters.clickhouse.client import ClickHouseConnection
from consumer.adapters.iceberg.store import StoreFileIO
from consumer.adapters.postgres.database import Database
from consumer.bootstrap import Application
from consumer.embedded.stack import EmbeddedStack
from tests.support.local_platform import LocalPlatform, ledger_database, local_platform, offload
from tests.support.platform import day
from tests.support.waiting import wait_until

CUTOFF = day("2024-01-03")
MINUTE = timedelta(minutes=1)


@pytest.fixture
def local(
    stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalPlatform]:
    with (
        ledger_database(stack.endpoints, unique_name) as dsn,
        local_platform(stack.endpoints, unique_name, dsn, tmp_path, monkeypatch) as made,
    ):
        yield made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each server was asked for something since this was cleared."""
    counter = Counter[str]()

    def count(owner: type, method: str, what: str) -> None:
        original: Callable[..., object] = getattr(owner, method)

        @functools.wraps(original)
        def counting(*args: object, **keywords: object) -> object:
            counter[what] += 1
            return original(*args, **keywords)

        monkeypatch.setattr(owner, method, counting)

    count(ClickHouseConnection, "rows", "queries")
    count(Database, "transaction", "transactions")
    count(psycopg.Connection, "execute", "statements")
    for method in ("new_input", "new_output", "delete"):
        count(StoreFileIO, method, "files")
    return counter


def settled(application: Application, stream: str, asked: Counter[str]) -> None:
    """Send ticks until the description of the source is old enough to be kept."""

    def kept() -> bool:
        asked.clear()
        offload(application, stream, CUTOFF)
        return asked["queries"] == 1

    wait_until(kept, seconds=60, what="a description that is kept")


def test_an_idle_tick_asks_clickhouse_once_and_the_store_for_nothing(local: LocalPlatform, asked: Counter[str]) -> None:
    stream = local.add_stream()
    local.insert(50, day="2024-01-01")
    with local.consumer() as application:
        offload(application, stream, CUTOFF)
        settled(application, stream, asked)
        asked.clear()
        offload(application, stream, CUTOFF + MINUTE)
        assert application.ledger.read([stream])[stream].watermark == CUTOFF + MINUTE
    asked["transactions"] -= 1  # the look at the watermark
    assert asked["queries"] == 1
    assert asked["transactions"] <= 6
    assert asked["files"] == 0
