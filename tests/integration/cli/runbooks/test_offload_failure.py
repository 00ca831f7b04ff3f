"""docs/runbooks/offload-failure-recovery.md: a store that is full halts the stream; a colleague pauses it."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from consumer.embedded.stack import EmbeddedStack
from tests.integration.cli.conftest import Run
from tests.integration.cli.runbooks.conftest import RunbookOf
from tests.support.consuming import committed_offsets, consuming
from tests.support.local_platform import LocalPlatform, judge, offload_once
from tests.support.platform import day
from tests.support.store_proxy import FULL, StoreProxy
from tests.support.waiting import wait_until


@pytest.fixture
def proxy(stack: EmbeddedStack, local: LocalPlatform) -> Iterator[StoreProxy]:
    port = urlsplit(stack.endpoints.store.endpoint).port
    assert port is not None
    with StoreProxy(port) as running:
        local.sections["store"] = {"endpoint": f"http://127.0.0.1:{running.port}"}
        local.sections["clickhouse"] = {"store_endpoint": stack.endpoints.store.endpoint}
        yield running


def test_the_runbook_is_followed(
    icehaul: Run, local: LocalPlatform, proxy: StoreProxy, trades: str, runbook: RunbookOf
) -> None:
    kafka = local.configuration().kafka
    proxy.disturb("full", r"^(PUT|POST) ", FULL)
    with local.consumer() as application, runbook("offload-failure-recovery.md") as page:
        application.topics.ensure()
        offload_once(application, trades, day("2024-01-02"))
        page.follow("Diagnosis")
        proxy.calm("full")
        page.follow("A server fails")
        assert icehaul("pause", trades, "--reason", "the store is moved").code == 0
        page.follow("Somebody has paused it")
        assert icehaul("resume", trades).code == 0
        with consuming(application):
            assert application.relay.run_once() == 1
            wait_until(lambda: committed_offsets(kafka) == {0: 1}, what="the event that was parked")
            page.follow("Verification")
        judge(application, trades, rows=100)
