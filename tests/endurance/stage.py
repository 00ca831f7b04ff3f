"""Where a campaign is played: a consumer that reaches every server through a proxy, which may break."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from consumer.bootstrap import Application
from consumer.embedded.endpoints import Endpoints
from tests.endurance.trouble import Saboteur
from tests.support.local_platform import LocalPlatform, ledger_database, local_platform
from tests.support.processes import children
from tests.support.store_proxy import StoreProxy
from tests.support.tcp_proxy import TcpProxy

ATTEMPTS = 5
"""How often a batch is tried before its stream is halted."""
ROWS = 200


@dataclass(frozen=True)
class Stage:
    """A consumer, its streams' tables, and the proxies before its servers; the operator's connections never break.

    ``strangers`` are processes that this one had started before the consumer was made.
    """

    application: Application
    operator: Application
    platform: LocalPlatform
    tables: Sequence[str]
    store: StoreProxy
    proxies: Sequence[TcpProxy]
    strangers: Collection[int]

    @property
    def streams(self) -> list[str]:
        """The names of the streams."""
        return [f"{self.platform.name}_{table}" for table in self.tables]


@contextmanager
def staged(
    endpoints: Endpoints, name: str, directory: Path, patch: pytest.MonkeyPatch, *, streams: int, task: str
) -> Iterator[Stage]:
    """Make a stage with a ledger of its own; ``task`` is what happens in the tasks of every fifth job."""
    store_port = urlsplit(endpoints.store.endpoint).port
    assert store_port is not None
    with (
        StoreProxy(store_port) as store,
        TcpProxy(endpoints.clickhouse.port) as source,
        TcpProxy(endpoints.postgres.port) as ledger,
        ledger_database(endpoints, name) as dsn,
        local_platform(endpoints, name, dsn, directory, patch) as platform,
    ):
        platform.sections |= {
            "store": {"endpoint": f"http://127.0.0.1:{store.port}"},
            "clickhouse": {"port": source.port, "store_endpoint": endpoints.store.endpoint},
            "spark": {"master": "local[2]"},
        }
        tables = [f"trades_{position}" for position in range(streams)]
        for table in tables:
            platform.add_stream(table, on_failure={"attempts": ATTEMPTS, "initial": "1ms", "maximum": "10ms"})
            platform.insert(ROWS, table=table)
        saboteur = Saboteur(source=source, ledger=ledger, task=task)
        with (
            platform.consumer() as operator,
            platform.consumer(port=ledger.port, failpoints=saboteur) as application,
        ):
            proxies = (store, source, ledger)
            yield Stage(application, operator, platform, tables, store, proxies, children(os.getpid()))
