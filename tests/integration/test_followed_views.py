"""A view that follows its stream: queried without a pause while batches are published and partitions dropped."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.domain.errors import DropRefusedError
from consumer.domain.hot_drop import Selection
from consumer.domain.stream import TableName
from consumer.embedded.stack import EmbeddedStack
from consumer.entrypoints.cli.follow import look
from tests.support.both_tiers import COLLECTION, Follower, Reader, case
from tests.support.local_platform import LocalPlatform, ledger_database, local_platform, offload
from tests.support.platform import day
from tests.support.waiting import wait_until

pytestmark = pytest.mark.thorough


@pytest.fixture
def platform(
    stack: EmbeddedStack, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalPlatform]:
    with (
        ledger_database(stack.endpoints, f"t_{uuid.uuid4().hex[:12]}") as dsn,
        local_platform(stack.endpoints, unique_name, dsn, tmp_path, monkeypatch) as made,
    ):
        yield made


def test_while_batches_are_published_and_partitions_dropped_every_row_is_seen_once(platform: LocalPlatform) -> None:
    days, rows = 5, 500
    inserted = 0
    with case(platform) as one:
        platform.insert(rows)
        inserted = rows
        one.make()
        with Follower(one) as follower, Reader(one, lambda: inserted) as reader:
            for number in range(1, days + 1):
                offload(one.application, one.stream, day(f"2024-01-{number + 1:02}"))
                wait_until(lambda number=number: one.boundary() >= day(f"2024-01-{number + 1:02}"), what="the view")  # type: ignore[misc]
                # The query that runs now may have been begun on the view as it was; the one after it was not.
                count = reader.queries
                wait_until(lambda count=count: reader.passed(count + 2), what="a query")  # type: ignore[misc]
                platform.client.command(f"ALTER TABLE {platform.name}.trades DROP PARTITION '2024-01-{number:02}'")
                platform.insert(rows, first=number * rows, day=f"2024-01-{number + 1:02}")
                inserted = (number + 1) * rows
                wait_until(lambda count=count: reader.passed(count + 4), what="a query")  # type: ignore[misc]
            assert reader.wrong == []
            assert follower.failing == {}
        assert one.numbers() == list(range((days + 1) * rows))
        assert platform.rows() == rows


def test_a_failing_stream_keeps_its_view_and_leaves_the_others_alone(platform: LocalPlatform) -> None:
    with case(platform) as one:
        platform.insert(10)
        offload(one.application, one.stream, day("2024-01-02"))
        one.make()
        platform.add_stream("bars")
        platform.client.command(f"INSERT INTO {platform.name}.bars SELECT * FROM {platform.name}.trades")
        with platform.consumer() as application:
            streams = [application.streams[name] for name in (one.stream, f"{platform.name}_bars")]
            names = {
                stream.name: TableName(database=platform.name, table=f"{stream.source.table}_all") for stream in streams
            }
            platform.client.command(f"RENAME TABLE {platform.name}.trades TO {platform.name}.gone")
            failing: dict[str, str] = {}
            look(application.views(COLLECTION), streams, names, {}, failing)
            assert set(failing) == {one.stream}
            assert list(application.views(COLLECTION).names(streams[1])) == [names[streams[1].name]]


def test_what_a_view_still_reads_in_the_source_is_not_dropped(platform: LocalPlatform) -> None:
    with case(platform) as one:
        stream = one.application.streams[one.stream]
        for number in (1, 2):
            platform.insert(10, first=number * 10 - 10, day=f"2024-01-0{number}")
            offload(one.application, one.stream, day(f"2024-01-0{number + 1}"))
            if number == 1:
                one.make()
        both = Selection(before=day("2024-01-03"))
        for refused in (one.application.drop_review.review, one.application.hot_drops.drop):
            with pytest.raises(DropRefusedError, match=r"everything reads the source from 2024-01-02 00:00:00 on"):
                refused(stream, both)
        assert one.numbers() == list(range(20))

        one.make()
        assert one.application.hot_drops.drop(stream, both).good
        assert platform.rows() == 0
        assert one.numbers() == list(range(20))
