"""docs/runbooks/consumer-group-trouble.md: nobody consumes, the group is deleted, and no events come."""

from __future__ import annotations

from confluent_kafka.admin import AdminClient

from tests.integration.cli.conftest import Run
from tests.integration.cli.runbooks.conftest import RunbookOf
from tests.support.consuming import committed_offsets, consuming
from tests.support.local_platform import LocalPlatform, judge
from tests.support.waiting import wait_until


def test_the_runbook_is_followed(icehaul: Run, local: LocalPlatform, trades: str, runbook: RunbookOf) -> None:
    kafka = local.configuration().kafka
    with local.consumer() as application, runbook("consumer-group-trouble.md") as page:
        application.topics.ensure()
        assert icehaul("emit", "--tick", "2024-01-02", "--stream", trades).code == 0
        with consuming(application):
            wait_until(lambda: committed_offsets(kafka) == {0: 1}, what="the first event")
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
        for deleted in admin.delete_consumer_groups([kafka.group]).values():
            deleted.result(60)
        page.follow("Diagnosis")
        page.follow("Events wait")
        page.follow("No events come")
        with consuming(application):
            page.follow("Verification")
            wait_until(lambda: committed_offsets(kafka) == {0: 4}, what="every event")
            page.follow("The group")
        judge(application, trades, rows=100)
