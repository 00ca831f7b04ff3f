"""A real consumer maintains its tables when it has no event to handle, after the offsets are committed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from consumer.bootstrap import Application
from consumer.domain.batch import BatchKind
from consumer.domain.event_factory import tick
from consumer.failpoints.acting import Failpoints
from consumer.ports import BatchRecord
from tests.support.consuming import committed_offsets, consuming
from tests.support.local_platform import LocalPlatform, judge, published
from tests.support.platform import day
from tests.support.waiting import wait_until

TICKS = 4


@pytest.fixture
def stream(local: LocalPlatform) -> str:
    local.sections["kafka"] = {"partitions": 1}
    # One event at a time: ticks that wait together would be one batch, with one file.
    local.sections["consumer"] = {"events_per_partition": 1}
    name = local.add_stream(partition_by="day", maintenance={"enabled": True, "every": "10ms"})
    local.insert(100)
    return name


def send(application: Application, stream: str) -> None:
    """Send the ticks of a day in small steps, and one of the day after: the first day is closed."""
    steps = [day("2024-01-01") + timedelta(milliseconds=25 * number) for number in range(1, TICKS)]
    application.event_sink.send([tick(stream=stream, boundary=at) for at in (*steps, day("2024-01-03"))])


def rewrites(application: Application, stream: str) -> list[BatchRecord]:
    return [one for one in published(application, stream) if one.kind is BatchKind.MAINTENANCE]


def test_small_files_become_one_once_every_offset_is_committed(local: LocalPlatform, stream: str) -> None:
    committed: list[object] = []

    class Watched(Failpoints):
        def hit(self, point: str) -> None:
            if point == "maintenance.before-abandon":
                committed.append(committed_offsets(kafka))

    with local.consumer(failpoints=Watched()) as application:
        kafka = application.configuration.kafka
        application.topics.ensure()
        send(application, stream)
        with consuming(application):
            wait_until(lambda: rewrites(application, stream), seconds=120, what="the compaction")
        settings = application.streams[stream]
        assert len(application.catalog.data_files(settings.target, settings.partition_by, None)) == 1
        judge(application, stream, rows=100)
    assert committed[-1] == {0: TICKS}


def test_a_consumer_that_ends_leaves_the_rest_to_the_next_one(local: LocalPlatform, stream: str) -> None:
    with local.consumer() as application:
        application.topics.ensure()
        kafka = application.configuration.kafka
        send(application, stream)
        with consuming(application):
            wait_until(lambda: committed_offsets(kafka) == {0: TICKS}, seconds=120, what="the offsets")
    with local.consumer() as application:
        with consuming(application):
            application.event_sink.send([tick(stream=stream, boundary=day("2024-01-04"))])
            wait_until(lambda: rewrites(application, stream), seconds=120, what="the compaction")
        judge(application, stream, rows=100)
