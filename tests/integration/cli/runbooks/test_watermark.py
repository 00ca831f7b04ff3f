"""docs/runbooks/watermark-management.md: rows come late; a settle lag is set; a watermark is set back."""

from __future__ import annotations

from tests.integration.cli.runbooks.conftest import RunbookOf
from tests.support.consuming import consuming
from tests.support.local_platform import LocalPlatform, judge, offload
from tests.support.platform import day


def test_the_runbook_is_followed(local: LocalPlatform, trades: str, runbook: RunbookOf) -> None:
    local.insert(60, first=100, day="2024-01-02")
    with local.consumer() as application, runbook("watermark-management.md") as page:
        application.topics.ensure()
        assert offload(application, trades, day("2024-01-03")) == []
        local.insert(20, first=160, day="2024-01-01")
        assert offload(application, trades, day("2024-01-03")) == []
        page.follow("Diagnosis")
        page.follow("The settle lag is too short")
        with consuming(application):
            page.follow("Set the watermark back")
        page.follow("Verification")
        judge(application, trades, rows=180)
