"""docs/runbooks/iceberg-compaction.md: a day in small files."""

from __future__ import annotations

from datetime import timedelta

from tests.integration.cli.runbooks.conftest import RunbookOf
from tests.support.local_platform import LocalPlatform, judge, offload
from tests.support.platform import day


def test_the_runbook_is_followed(local: LocalPlatform, trades: str, runbook: RunbookOf) -> None:
    with local.consumer() as application:
        for ms in (30, 60):
            assert offload(application, trades, day("2024-01-01") + timedelta(milliseconds=ms)) == []
        assert offload(application, trades, day("2024-01-03")) == []
        with runbook("iceberg-compaction.md") as page:
            for heading in ("Diagnosis", "Compact", "Fewer, larger windows", "Verification"):
                page.follow(heading)
        judge(application, trades, rows=100)
