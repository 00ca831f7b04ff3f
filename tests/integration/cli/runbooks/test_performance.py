"""docs/runbooks/performance-troubleshooting.md: ClickHouse answers slowly while a backlog waits."""

from __future__ import annotations

from tests.integration.cli.runbooks.conftest import RunbookOf, logged
from tests.support.consuming import consuming
from tests.support.local_platform import LocalPlatform, judge, offload
from tests.support.platform import day
from tests.support.slow_proxy import SlowProxy


def test_the_runbook_is_followed(local: LocalPlatform, trades: str, runbook: RunbookOf) -> None:
    for number in (2, 3):
        local.insert(100, first=number * 100, day=f"2024-01-0{number}")
    with (
        SlowProxy(local.endpoints.clickhouse.port, delay=0.2) as proxy,
        runbook("performance-troubleshooting.md") as page,
    ):
        local.sections["clickhouse"] = {"port": proxy.port}
        local.write()
        with local.consumer() as application:
            application.topics.ensure()
            with logged(local.directory / "consumer.log"):
                assert offload(application, trades, day("2024-01-02")) == []
            page.follow("Diagnosis")
        proxy.delay = 0.0
        page.follow("ClickHouse or Spark is slow")
        page.follow("The backlog is long")
        with local.consumer() as application:
            with consuming(application):
                page.follow("Verification")
            judge(application, trades, rows=300)
