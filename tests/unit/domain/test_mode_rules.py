"""Which mode a table allows: versions of a row lie together, and what is left of them does not depend on merges."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consumer.domain.clickhouse_sql import read_rows
from consumer.domain.errors import ModeRefusedError
from consumer.domain.mapping import SourceColumn
from consumer.domain.mode_rules import TableShape, check_mode, mode_meaning, mode_obstacle, proposed_mode
from consumer.domain.stream import Mode, Stream, TableName
from consumer.domain.table_key import bare_columns, named_columns


def shape(
    engine: str = "ReplacingMergeTree", *, partition: str = "toDate(ts)", key: str = "ts, seq", **types: str
) -> TableShape:
    columns = {"ts": "DateTime64(6, 'UTC')", "seq": "UInt64", "value": "Int64", "symbol": "String"} | types
    return TableShape(
        engine=engine,
        partition_key=partition,
        sorting_key=key,
        columns=[SourceColumn(name=name, type=type_) for name, type_ in columns.items()],
    )


def obstacle(mode: Mode, found: TableShape) -> str:
    at = mode_obstacle(mode, found, time_column="ts")
    return "" if at is None else at.reason


FINAL = ("Replacing", "Collapsing", "VersionedCollapsing", "Summing", "Aggregating", "Coalescing")


@pytest.mark.parametrize("prefix", ["", "Replicated", "Shared"])
@pytest.mark.parametrize("family", FINAL)
def test_engines_with_versions_allow_latest_version_and_not_replace_window(prefix: str, family: str) -> None:
    found = shape(f"{prefix}{family}MergeTree")
    assert not obstacle(Mode.LATEST_VERSION, found)
    assert "depends on when it is read" in obstacle(Mode.REPLACE_WINDOW, found)
    assert proposed_mode(found, time_column="ts")[0] is Mode.LATEST_VERSION


def test_a_plain_table_allows_replace_window_and_not_latest_version() -> None:
    found = shape("MergeTree")
    assert not obstacle(Mode.REPLACE_WINDOW, found)
    assert "no versions" in obstacle(Mode.LATEST_VERSION, found)
    assert proposed_mode(found, time_column="ts")[0] is Mode.APPEND
    assert "no versions" in obstacle(Mode.LATEST_VERSION, shape("GraphiteMergeTree"))


@pytest.mark.parametrize("key", ["", "seq", "toDate(ts), seq", "tuple()", "seq, toStartOfHour(ts)"])
def test_versions_that_may_lie_in_several_windows_are_refused(key: str) -> None:
    found = shape(key=key, partition="")
    assert "may lie in several windows" in obstacle(Mode.LATEST_VERSION, found)
    assert proposed_mode(found, time_column="ts")[0] is Mode.APPEND


@pytest.mark.parametrize("partition", ["symbol", "(toDate(ts), symbol)", "intHash32(value) % 3"])
def test_versions_that_may_lie_in_several_partitions_are_refused(partition: str) -> None:
    assert "may lie in several partitions" in obstacle(Mode.LATEST_VERSION, shape(partition=partition))
    assert not obstacle(Mode.LATEST_VERSION, shape(partition=partition, key="ts, symbol, value"))


@pytest.mark.parametrize(
    ("engine", "type_", "sound"),
    [
        ("ReplacingMergeTree", "Float64", True),
        ("SummingMergeTree", "Float64", False),
        ("SummingMergeTree", "Decimal(18, 8)", True),
        ("AggregatingMergeTree", "SimpleAggregateFunction(sum, Float64)", False),
        ("AggregatingMergeTree", "SimpleAggregateFunction(max, Float64)", True),
        ("AggregatingMergeTree", "SimpleAggregateFunction(sum, Int64)", True),
        ("AggregatingMergeTree", "SimpleAggregateFunction(groupUniqArrayArray, Array(String))", False),
        ("AggregatingMergeTree", "AggregateFunction(uniq, String)", False),
        ("AggregatingMergeTree", "AggregateFunction(quantiles(0.5, 0.9), Int64)", False),
        ("AggregatingMergeTree", "AggregateFunction(argMax, Float64, UInt64)", True),
    ],
)
def test_values_that_depend_on_the_order_of_merges_are_refused(engine: str, type_: str, sound: bool) -> None:
    found = obstacle(Mode.LATEST_VERSION, shape(engine, value=type_))
    assert ("depends on the order" in found) is not sound


@pytest.mark.parametrize("mode", [Mode.LATEST_VERSION, Mode.REPLACE_WINDOW])
def test_a_ttl_that_changes_rows_is_refused_where_changes_are_followed(mode: Mode) -> None:
    engine = "MergeTree" if mode is Mode.REPLACE_WINDOW else "ReplacingMergeTree"
    assert "TTL" in obstacle(mode, replace(shape(engine), ttl_changes_rows=True))


def test_append_is_always_allowed() -> None:
    assert not obstacle(Mode.APPEND, replace(shape("GraphiteMergeTree", key=""), ttl_changes_rows=True))


def test_a_refusal_names_stream_table_reason_and_remedy() -> None:
    stream = _stream(Mode.LATEST_VERSION)
    with pytest.raises(ModeRefusedError, match=r"stream s: mode latest-version is not possible for d\.t") as raised:
        check_mode(stream, shape("MergeTree"))
    assert "replace-window" in raised.value.remedy
    check_mode(stream, shape())


@pytest.mark.parametrize("mode", Mode)
def test_only_latest_version_is_read_with_final(mode: Mode) -> None:
    assert read_rows(_stream(mode)).endswith(" FINAL") is (mode is Mode.LATEST_VERSION)
    assert mode_meaning(mode)


def test_columns_of_a_key_are_those_by_themselves_and_those_that_it_names() -> None:
    key = "ts, `seq`, toDate(day, 'UTC'), cityHash64(symbol)"
    assert bare_columns(key) == {"ts", "seq"}
    assert bare_columns(f"({key})") == bare_columns(f"tuple({key})") == {"ts", "seq"}
    assert bare_columns("(a) + (b)") == frozenset()
    assert named_columns(key, ["ts", "day", "symbol", "other", "sym"]) == {"ts", "day", "symbol"}


def _stream(mode: Mode) -> Stream:
    name = TableName.parse("d.t")
    return Stream(name="s", source=name, target=name, timestamp_column="ts", mode=mode)
