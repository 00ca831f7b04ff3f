"""What every inventory of the emitter keeps to, ClickHouse's and the one in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from consumer.domain.errors import SourceMissingError, SourceUnavailableError, TimeColumnError
from consumer.domain.inventory import Partition
from consumer.domain.window import PartitionBy
from tests.support.hot_tables import DAY, NOON, HotTable, rows_at


def only(hot: HotTable) -> Partition:
    (partition,) = hot.inventory.inventory(hot.stream).partitions
    return partition


def test_partitions_carry_their_rows_and_their_first_and_last_instant(hot: HotTable) -> None:
    hot.insert(rows_at(NOON, 1, 2) + rows_at(NOON + timedelta(hours=2), 3) + rows_at(NOON + DAY, 4))
    found = hot.inventory.inventory(hot.stream)
    assert (found.table, found.period, found.precision) == (hot.name, PartitionBy.DAY, timedelta(microseconds=1))
    first, second = found.partitions
    assert (first.id, first.content.rows, first.first, first.last) == ("20240305", 3, NOON, NOON + timedelta(hours=2))
    assert (second.id, second.content.rows, second.first, second.last) == ("20240306", 1, NOON + DAY, NOON + DAY)


def test_what_was_written_last_was_written_now(hot: HotTable) -> None:
    hot.insert(rows_at(NOON, 1))
    assert hot.inventory.now() - timedelta(minutes=5) <= only(hot).modified <= hot.inventory.now()


def test_an_empty_table_has_no_partitions(hot: HotTable) -> None:
    assert hot.inventory.inventory(hot.stream).partitions == ()


def test_looks_and_merges_keep_the_content(hot: HotTable) -> None:
    for number in range(3):
        hot.insert(rows_at(NOON, number))
    before = only(hot).content
    assert only(hot).content == before
    hot.merge()
    assert only(hot).content == before


def test_a_late_row_changes_the_content_even_if_it_equals_another(hot: HotTable) -> None:
    hot.insert(rows_at(NOON, 1))
    hot.insert(rows_at(NOON + DAY, 1))
    before = hot.inventory.inventory(hot.stream).partitions
    hot.insert(rows_at(NOON, 1))
    after = hot.inventory.inventory(hot.stream).partitions
    assert before[0].content.id != after[0].content.id
    assert before[1].content.id == after[1].content.id


def test_a_mutation_changes_the_content_and_the_last_instant(hot: HotTable) -> None:
    hot.insert(rows_at(NOON, 1) + rows_at(NOON + timedelta(hours=1), 2))
    before = only(hot)
    hot.delete(2)
    after = only(hot)
    assert after.content.id != before.content.id
    assert (after.content.rows, after.last) == (1, NOON)


def test_a_changed_value_is_another_content(hot: HotTable) -> None:
    hot.insert(rows_at(NOON, 1, 2))
    before = only(hot).content
    hot.update(2, value=7)
    after = only(hot).content
    assert after.rows == before.rows
    assert after.id != before.id


def test_one_row_in_the_place_of_another_is_another_content(hot: HotTable) -> None:
    hot.insert(rows_at(NOON, 1, 2))
    before = only(hot).content
    hot.delete(1)
    hot.insert(rows_at(NOON, 3))
    after = only(hot).content
    assert after.rows == before.rows
    assert after.id != before.id


def test_a_partition_without_rows_is_gone(hot: HotTable) -> None:
    hot.insert(rows_at(NOON, 1) + rows_at(NOON + DAY, 2))
    hot.inventory.inventory(hot.stream)
    hot.delete(1)
    assert only(hot).id == "20240306"


def test_a_table_made_anew_is_looked_at_anew(hot: HotTable) -> None:
    hot.insert(rows_at(NOON, 1))
    assert only(hot).last == NOON
    hot.make_anew()
    hot.insert(rows_at(NOON + timedelta(hours=1), 1))
    assert (only(hot).first, only(hot).last) == (NOON + timedelta(hours=1), NOON + timedelta(hours=1))


def test_a_missing_table_is_named(hot: HotTable) -> None:
    hot.inventory.inventory(hot.stream)
    hot.drop()
    with pytest.raises(SourceMissingError, match=str(hot.name)) as raised:
        hot.inventory.inventory(hot.stream)
    assert raised.value.remedy


def test_a_missing_time_column_is_named(hot: HotTable) -> None:
    with pytest.raises(SourceMissingError, match="timestamp_column 'gone'"):
        hot.inventory.inventory(replace(hot.stream, timestamp_column="gone"))


def test_a_time_column_that_is_no_time_is_refused(hot: HotTable) -> None:
    with pytest.raises(TimeColumnError, match="timestamp_column 'value'"):
        hot.inventory.inventory(replace(hot.stream, timestamp_column="value"))


def test_a_server_that_does_not_answer_is_a_passing_error(hot: HotTable) -> None:
    _, inventory = hot.unreachable()
    with pytest.raises(SourceUnavailableError):
        inventory.inventory(hot.stream)
    with pytest.raises(SourceUnavailableError):
        inventory.now()
