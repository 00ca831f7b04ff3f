"""docs/runbooks/schema-change.md: a column is renamed in the source, later another one gets a narrower type."""

from __future__ import annotations

from tests.integration.cli.runbooks.conftest import RunbookOf
from tests.support.consuming import committed_offsets, consuming
from tests.support.local_platform import LocalPlatform, halted, judge, offload, offload_once
from tests.support.platform import day
from tests.support.waiting import wait_until


def test_the_runbook_is_followed(local: LocalPlatform, trades: str, runbook: RunbookOf) -> None:
    kafka = local.configuration().kafka
    with runbook("schema-change.md") as page:
        with local.consumer() as application:
            application.topics.ensure()
            assert offload(application, trades, day("2024-01-02")) == []
            local.insert(50, first=100, day="2024-01-02")
            alter(local, "RENAME COLUMN price TO amount")
            offload_once(application, trades, day("2024-01-03"))
        page.follow("Diagnosis")
        page.follow("A column was renamed")
        with local.consumer() as application:
            assert offload(application, trades, day("2024-01-03")) == []
            alter(local, "MODIFY COLUMN seq UInt32")
            offload_once(application, trades, day("2024-01-04"))
            halted(application, trades)
            page.follow("A type was changed")
            with consuming(application):
                assert application.relay.run_once() == 2
                wait_until(lambda: committed_offsets(kafka) == {0: 2}, what="the events that were parked")
                page.follow("Verification")
            judge(application, trades, rows=150)


def alter(local: LocalPlatform, change: str) -> None:
    local.client.command(f"ALTER TABLE {local.name}.trades {change} SETTINGS mutations_sync = 2")
