"""docs/runbooks/data-consistency-audit.md: a table that was rolled back, and rows that were changed in the source."""

from __future__ import annotations

from contextlib import closing

from tests.integration.cli.runbooks.conftest import RunbookOf
from tests.support.consuming import consuming
from tests.support.local_platform import LocalPlatform, judge, offload
from tests.support.platform import day


def test_the_runbook_is_followed(local: LocalPlatform, trades: str, runbook: RunbookOf) -> None:
    with local.consumer() as application, runbook("data-consistency-audit.md") as page:
        application.topics.ensure()
        assert offload(application, trades, day("2024-01-02")) == []
        local.insert(60, first=100, day="2024-01-02")
        assert offload(application, trades, day("2024-01-03")) == []
        with closing(local.cold_tier(trades)) as tier:
            tier.roll_back(tier.table().snapshots()[0].snapshot_id)
        page.follow("Diagnosis")
        with consuming(application):
            page.follow("The table was changed")
        local.client.command(
            f"ALTER TABLE {local.name}.trades UPDATE price = price + 1 WHERE seq < 10 SETTINGS mutations_sync = 2"
        )
        page.follow("Rows were changed in the source")
        page.follow("Verification")
        judge(application, trades, rows=160)
