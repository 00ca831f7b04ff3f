from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.inventory import Inventory, Partition, PartitionContent
from consumer.domain.stream import TableName
from consumer.domain.window import END_OF_TIME, PartitionBy
from consumer.emitter.closings import find_closings

TABLE = TableName.parse("market.trades")
DAY = timedelta(days=1)
GRACE = timedelta(minutes=5)
MONDAY = datetime(2025, 3, 3, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def _partition(
    id_: str, first: datetime, last: datetime, *, modified: datetime, rows: int = 10, version: int = 0
) -> Partition:
    content = PartitionContent(rows=rows, min_block=1, max_block=rows, data_version=version)
    return Partition(id=id_, content=content, modified=modified, first=first, last=last)


def _day(number: int, *, modified: datetime, rows: int = 10) -> Partition:
    start = MONDAY + number * DAY
    return _partition(f"2025030{3 + number}", start, start + timedelta(hours=23), modified=modified, rows=rows)


def _inventory(*partitions: Partition, period: PartitionBy | None = PartitionBy.DAY) -> Inventory:
    return Inventory(table=TABLE, partitions=partitions, period=period, precision=MILLISECOND)


def _closed(inventory: Inventory, now: datetime, sent: dict[str, str] | None = None) -> list[tuple[str, datetime]]:
    closings = find_closings(inventory, sent=sent or {}, now=now, quiet_for=GRACE)
    return [(closing.partition.id, closing.cutoff) for closing in closings]


def test_a_partition_whose_period_is_past_closes_after_the_grace_time_at_the_end_of_its_period() -> None:
    monday = _inventory(_day(0, modified=MONDAY + timedelta(hours=23)))
    assert _closed(monday, MONDAY + DAY - MILLISECOND) == []
    assert _closed(monday, MONDAY + DAY) == [("20250303", MONDAY + DAY)]


def test_a_partition_that_was_written_to_a_moment_ago_stays_open() -> None:
    written = MONDAY + 3 * DAY
    inventory = _inventory(_day(0, modified=written))
    assert _closed(inventory, written + GRACE - timedelta(seconds=1)) == []
    assert _closed(inventory, written + GRACE) == [("20250303", MONDAY + DAY)]


def test_newer_data_closes_a_partition_before_its_period_is_past() -> None:
    loaded = MONDAY - DAY
    inventory = _inventory(_day(0, modified=loaded), _day(1, modified=loaded))
    assert _closed(inventory, MONDAY) == [("20250303", MONDAY + DAY)]


def test_partitions_that_grow_side_by_side_never_close_each_other() -> None:
    last_week = MONDAY - 7 * DAY
    inventory = _inventory(
        _partition("binance", last_week, MONDAY, modified=MONDAY),
        _partition("kraken", last_week + DAY, MONDAY - DAY, modified=MONDAY),
        period=None,
    )
    assert _closed(inventory, MONDAY + 30 * DAY) == []


def test_without_a_period_the_cutoff_is_just_above_the_last_row() -> None:
    inventory = _inventory(
        _partition("1", MONDAY, MONDAY + DAY, modified=MONDAY),
        _partition("2", MONDAY + 2 * DAY, MONDAY + 3 * DAY, modified=MONDAY),
        period=None,
    )
    assert _closed(inventory, MONDAY + GRACE) == [("1", MONDAY + DAY + MILLISECOND)]


def test_what_was_sent_is_sent_again_only_with_other_content() -> None:
    before = _day(0, modified=MONDAY)
    sent = {before.id: before.content.id}
    now = MONDAY + 3 * DAY
    assert _closed(_inventory(before), now, sent) == []
    merged = _day(0, modified=MONDAY + DAY)
    assert _closed(_inventory(merged), now, sent) == []
    late_row = _day(0, modified=MONDAY + 2 * DAY, rows=11)
    assert _closed(_inventory(late_row), now, sent) == [("20250303", MONDAY + DAY)]


def test_a_table_without_partitions_has_nothing_to_close() -> None:
    assert _closed(_inventory(period=None), MONDAY) == []


@pytest.mark.parametrize(("period", "precision"), [(PartitionBy.YEAR, MILLISECOND), (None, DAY)])
def test_no_cutoff_passes_the_end_of_time(period: PartitionBy | None, precision: timedelta) -> None:
    last = _partition("2299", END_OF_TIME - DAY, END_OF_TIME, modified=MONDAY)
    earlier = _partition("9", MONDAY, MONDAY, modified=MONDAY)
    newer = _partition("x", END_OF_TIME + MILLISECOND, END_OF_TIME + MILLISECOND, modified=MONDAY)
    inventory = Inventory(table=TABLE, partitions=(earlier, last, newer), period=period, precision=precision)
    cutoffs = dict(_closed(inventory, MONDAY + GRACE))
    assert cutoffs["2299"] == END_OF_TIME


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 600), st.integers(1, 3)), unique_by=lambda spec: spec[0]),
    st.integers(0, 20_000),
)
def test_what_closes_is_quiet_newest_first_and_ends_after_its_last_row(
    specs: list[tuple[int, int, int]], minutes: int
) -> None:
    now = MONDAY + timedelta(minutes=minutes)
    partitions = [_day(day, modified=MONDAY + timedelta(hours=hours), rows=rows) for day, hours, rows in specs]
    closings = find_closings(_inventory(*partitions), sent={}, now=now, quiet_for=GRACE)
    for closing in closings:
        assert closing.partition.modified + GRACE <= now
        assert closing.cutoff > closing.partition.last
    assert [closing.cutoff for closing in closings] == sorted((closing.cutoff for closing in closings), reverse=True)
    sent = {closing.partition.id: closing.partition.content.id for closing in closings}
    assert find_closings(_inventory(*partitions), sent=sent, now=now, quiet_for=GRACE) == ()
