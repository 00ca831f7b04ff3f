"""docs/runbooks/restore-and-disaster-recovery.md: Postgres is lost, and a day was dropped from ClickHouse."""

from __future__ import annotations

from tests.integration.cli.runbooks.conftest import RunbookOf
from tests.support.consuming import consuming
from tests.support.disasters import lose_database
from tests.support.local_platform import LocalPlatform, offload
from tests.support.platform import day


def test_the_runbook_is_followed(local: LocalPlatform, trades: str, runbook: RunbookOf) -> None:
    local.insert(60, first=100, day="2024-01-02")
    with local.consumer() as application:
        application.topics.ensure()
        for until in ("2024-01-02", "2024-01-03"):
            assert offload(application, trades, day(until)) == []
    local.insert(40, first=200, day="2024-01-03")
    lose_database(local.endpoints, local.dsn)
    with runbook("restore-and-disaster-recovery.md") as page:
        page.follow("Diagnosis")
        page.follow("Postgres is lost")
        with local.consumer() as application, consuming(application):
            page.follow("The streams catch up")
        local.client.command(f"ALTER TABLE {local.name}.trades DROP PARTITION '2024-01-01'")
        page.follow("Rows are gone from the hot tier")
        page.follow("Verification")
    with local.consumer() as application:
        target = application.catalog.inspect(application.streams[trades].target)
        assert target is not None
        assert target.rows == 200
