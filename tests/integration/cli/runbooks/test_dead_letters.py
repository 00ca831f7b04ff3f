"""docs/runbooks/dead-letters.md: an event of a stream that is not configured yet, and a message that is none."""

from __future__ import annotations

from confluent_kafka import Producer

from consumer.domain.event_factory import tick
from tests.integration.cli.conftest import Run
from tests.integration.cli.runbooks.conftest import RunbookOf
from tests.support.consuming import committed_offsets, consuming
from tests.support.local_platform import LocalPlatform, judge
from tests.support.platform import day
from tests.support.waiting import wait_until


def test_the_runbook_is_followed(icehaul: Run, local: LocalPlatform, trades: str, runbook: RunbookOf) -> None:
    kafka = local.configuration().kafka
    with local.consumer() as application:
        application.topics.ensure()
        application.event_sink.send([tick(stream="orders", boundary=day("2024-01-02"))])
        producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
        producer.produce(kafka.topic, key=trades.encode(), value=b'{"specversion": "1.0", "type": "icehaul.tick.v1"}')
        assert producer.flush(60) == 0
        with consuming(application):
            wait_until(lambda: committed_offsets(kafka) == {0: 2}, what="both letters")
    with runbook("dead-letters.md") as page:
        page.follow("Diagnosis")
        local.add_stream("orders", name="orders", target="bronze.orders")
        local.insert(30, table="orders")
        page.follow("A stream is not configured")
        page.follow("The producer breaks the contract")
        with local.consumer() as application, consuming(application):
            wait_until(lambda: committed_offsets(kafka) == {0: 3}, what="the event that was sent again")
            page.follow("Verification")
        with local.consumer() as application:
            judge(application, "orders", rows=30)
