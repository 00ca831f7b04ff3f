"""Quarantine tables are told apart by stream and epoch; only what lies below the watermark is chosen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.errors import ConfigurationError, DropRefusedError
from consumer.domain.hot_drop import (
    HotPartition,
    Selection,
    quarantine_epoch,
    quarantine_prefix,
    quarantine_table,
)
from consumer.domain.stream import IDENTIFIER, Stream, TableName
from consumer.domain.window import Window

DAY = timedelta(days=1)
START = datetime(2024, 1, 1, tzinfo=UTC)
names = st.one_of(
    st.sampled_from(["a", "a_1", "a_1_2", "trades", "trades_15", "x" * 127, "x" * 126 + "y"]),
    st.from_regex(IDENTIFIER, fullmatch=True),
)
epochs = st.integers(1, 2**63)


def stream(name: str) -> Stream:
    table = TableName(database="market", table="trades")
    return Stream(name=name, source=table, target=table, timestamp_column="ts")


@given(names, names, epochs, epochs)
def test_no_two_streams_or_epochs_share_a_quarantine_table(one: str, other: str, first: int, second: int) -> None:
    mine, theirs = quarantine_table(stream(one), first), quarantine_table(stream(other), second)
    assert (mine == theirs) == ((one, first) == (other, second))
    assert quarantine_epoch(stream(one), mine.table) == first
    assert mine.table.startswith(quarantine_prefix(stream(one)))
    if one != other:
        assert quarantine_epoch(stream(one), theirs.table) is None


def partition(number: int) -> HotPartition:
    lower = START + number * DAY
    return HotPartition(id=f"p{number}", content_id="c", rows=1, bytes=1, window=Window(lower=lower, upper=lower + DAY))


THERE = [partition(number) for number in range(4)]


@given(st.integers(0, 5), st.integers(0, 5))
def test_all_partitions_before_an_instant_are_chosen_or_refused_together(before: int, watermark: int) -> None:
    selection = Selection(before=START + before * DAY)
    if min(before, 4) > watermark:
        with pytest.raises(DropRefusedError, match=f"p{watermark}"):
            selection.choose(stream("s"), THERE, START + watermark * DAY)
    else:
        chosen = selection.choose(stream("s"), THERE, START + watermark * DAY)
        assert [one.id for one in chosen] == [f"p{number}" for number in range(min(before, 4))]


def test_a_partition_that_is_named_twice_is_chosen_once() -> None:
    chosen = Selection(partitions=("p1", "p0", "p1")).choose(stream("s"), THERE, START + 2 * DAY)
    assert [one.id for one in chosen] == ["p1", "p0"]


def test_a_partition_with_its_last_row_just_below_the_watermark_is_below_it() -> None:
    assert Selection(partitions=("p1",)).choose(stream("s"), THERE, START + 2 * DAY)
    with pytest.raises(DropRefusedError):
        Selection(partitions=("p1",)).choose(stream("s"), THERE, START + 2 * DAY - timedelta(microseconds=1))


def test_of_many_partitions_a_message_names_the_first() -> None:
    many = [partition(number) for number in range(30)]
    with pytest.raises(ConfigurationError, match="no partition x") as refused:
        Selection(partitions=("x",)).choose(stream("s"), many, START)
    assert "and 10 more" in refused.value.remedy
