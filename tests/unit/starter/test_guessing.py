from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from consumer.domain.stream import Layer
from consumer.domain.table_facts import ColumnFacts, TableFacts, ValueRange
from consumer.domain.type_choices import As
from consumer.domain.window import PartitionBy
from consumer.service.starter import shape
from consumer.service.starter.draft import Names, StreamDraft, Surroundings, draft_stream, why_skipped
from consumer.service.starter.time_column import rank, time_columns

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AROUND = Surroundings(now=NOW, server_zone="UTC")


def table(*columns: tuple[str, str], partition_key: str = "", sorting_key: str = "", **others: object) -> TableFacts:
    facts = TableFacts(
        database="shop",
        table="orders",
        engine="MergeTree",
        engine_full="MergeTree ORDER BY x",
        create_query="CREATE TABLE shop.orders (`x` Int8)",
        partition_key=partition_key,
        sorting_key=sorting_key,
        rows=10,
        bytes=100,
        columns=tuple(ColumnFacts(name=name, type=type_) for name, type_ in columns),
    )
    return replace(facts, **others)  # type: ignore[arg-type]


def draft(facts: TableFacts, names: Names | None = None) -> StreamDraft:
    return draft_stream(facts, {}, AROUND, names or Names())


def best(facts: TableFacts, ranges: Mapping[str, ValueRange] | None = None) -> str | None:
    found = rank(facts, ranges or {}, NOW).best
    return found.column.name if found is not None else None


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (table(("id", "UInt64"), ("ts", "DateTime")), "ts"),
        (table(("inserted_at", "DateTime"), ("created_at", "DateTime")), "created_at"),
        (table(("updated_at", "DateTime64(6)"), ("exchange_timestamp", "DateTime")), "exchange_timestamp"),
        (table(("receivedAt", "DateTime"), ("eventTime", "DateTime")), "eventTime"),
        (table(("a", "DateTime"), ("b", "DateTime"), sorting_key="id, b"), "b"),
        (table(("event_time", "DateTime"), ("load_day", "Date"), partition_key="load_day"), "load_day"),
        (table(("day", "Date"), ("event_time", "DateTime64(3)")), "event_time"),
        (table(("event_time", "Nullable(DateTime)"), ("b", "DateTime")), "b"),
        (table(("event_time", "DateTime64(9)"), ("b", "DateTime")), "b"),
        (table(("id", "UInt64"), ("name", "String")), None),
    ],
)
def test_the_time_column(facts: TableFacts, expected: str | None) -> None:
    assert best(facts) == expected


def test_values_tell_what_names_do_not() -> None:
    facts = table(("a", "DateTime"), ("b", "DateTime"), ("c", "DateTime"))
    ranges = {
        "a": ValueRange(first=datetime(1970, 1, 1, tzinfo=UTC), last=NOW),
        "b": ValueRange(first=NOW - timedelta(days=9), last=NOW + timedelta(days=99)),
        "c": ValueRange(first=NOW - timedelta(days=9), last=NOW),
    }
    assert best(facts) == "a"
    assert best(facts, ranges) == "c"
    reasons = {one.column.name: "; ".join(one.reasons) for one in rank(facts, ranges, NOW).candidates}
    assert "1970-01-01" in reasons["a"]
    assert "future" in reasons["b"]


def test_a_column_of_another_name_in_a_key_is_not_meant() -> None:
    facts = table(("ts", "DateTime"), ("ts_local", "DateTime"), partition_key="toDate(ts_local)")
    assert best(facts) == "ts_local"


def test_a_guess_between_equals_is_not_sure() -> None:
    assert not rank(table(("a", "DateTime"), ("b", "DateTime")), {}, NOW).sure
    assert rank(table(("a", "DateTime"), ("b", "DateTime"), partition_key="b"), {}, NOW).sure
    assert rank(table(("a", "DateTime")), {}, NOW).sure
    assert not rank(table(("a", "Int8")), {}, NOW).sure


def test_why_a_time_can_not_be_the_time_column() -> None:
    facts = table(("a", "Nullable(DateTime)"), ("b", "DateTime64(9)"), ("c", "Array(Date)"), ("d e", "DateTime"))
    reasons = {one.column.name: one.reason for one in rank(facts, {}, NOW).ruled_out}
    assert reasons.keys() == {"a", "b", "d e"}
    assert "Nullable" in reasons["a"]
    assert "microsecond" in reasons["b"]


def test_columns_that_are_not_stored_are_no_candidates() -> None:
    facts = table(
        columns=(
            ColumnFacts(name="a", type="DateTime", kind="ALIAS"),
            ColumnFacts(name="b", type="DateTime", kind="EPHEMERAL"),
            ColumnFacts(name="c", type="DateTime", kind="MATERIALIZED"),
        )
    )
    assert time_columns(facts) == ("c",)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (table(("ts", "DateTime"), ("sequence_number", "UInt64"), ("id", "UInt64")), ("sequence_number",)),
        (table(("ts", "DateTime"), ("trade_id", "UInt64"), ("seq", "Nullable(UInt64)")), ("trade_id",)),
        (table(("ts", "DateTime"), ("id", "Int64"), ("seq", "Int64"), sorting_key="ts, id"), ("id",)),
        (table(("ts", "DateTime"), ("symbol", "String"), ("price", "Float64"), sorting_key="symbol, ts"), ("symbol",)),
        (table(("ts", "DateTime"), ("price", "Float64"), sorting_key="ts, price"), ()),
        (table(("ts", "DateTime"), ("width", "UInt64")), ()),
    ],
)
def test_sequence_columns(facts: TableFacts, expected: tuple[str, ...]) -> None:
    found, reason = shape.sequence_columns(facts, "ts")
    assert found == expected
    assert reason


@pytest.mark.parametrize(
    ("database", "name", "expected", "rest"),
    [
        ("market", "silver_trades", Layer.SILVER, "trades"),
        ("market", "raw_trades", Layer.BRONZE, "trades"),
        ("gold", "trades", Layer.GOLD, "trades"),
        ("market", "trades", None, "trades"),
        ("market", "silverware", None, "silverware"),
        ("market", "gold", Layer.GOLD, "gold"),
    ],
)
def test_the_layer_is_told_by_a_prefix(database: str, name: str, expected: Layer | None, rest: str) -> None:
    assert shape.layer(database, name) == (expected, rest)


@pytest.mark.parametrize(
    ("key", "type_", "zone", "expected"),
    [
        ("toYYYYMM(ts)", "DateTime", "UTC", PartitionBy.MONTH),
        ("(symbol, toStartOfHour(ts))", "DateTime('UTC')", "Asia/Tokyo", PartitionBy.HOUR),
        ("toDate(ts)", "DateTime", "Asia/Tokyo", PartitionBy.DAY),
        ("intDiv(id, 100)", "DateTime", "UTC", PartitionBy.DAY),
        ("", "DateTime", "UTC", PartitionBy.DAY),
    ],
)
def test_the_partition_transform_follows_the_sources_key(
    key: str, type_: str, zone: str, expected: PartitionBy
) -> None:
    found, reason = shape.partition_by(table(partition_key=key), "ts", type_, zone)
    assert found is expected
    assert ("as the source" in reason) == ((zone == "UTC" and "ts" in key) or "'UTC'" in type_)


def test_names_are_unique_among_all_drafts() -> None:
    names = Names()
    facts = table(("ts", "DateTime"))
    made = [
        draft(replace(facts, table=name), names)
        for name in ("trades", "bronze_trades", "raw_trades", "x" * 127, "x" * 126 + "y", "1st")
    ]
    assert len({one.name for one in made}) == len(made)
    assert len({one.target for one in made}) == len(made)


def test_a_date_stands_for_its_whole_day() -> None:
    assert draft(table(("day", "Date"))).row_span == timedelta(days=1)
    assert draft(table(("ts", "DateTime"))).row_span == timedelta(0)


def test_what_can_not_run_has_obstacles_and_what_may_surprise_has_warnings() -> None:
    blocked = draft(table(("json", "JSON"), ("x", "Int256"), has_uuid=False))
    assert len(blocked.obstacles) == 4  # no time column, no UUID, two columns
    assert [column.proposed for column in blocked.columns] == [As.STRING, As.STRING]
    surprising = draft(
        table(
            ("a", "DateTime"),
            ("b", "DateTime"),
            engine="ReplacingMergeTree",
            engine_full="ReplacingMergeTree ORDER BY x TTL a + toIntervalMinute(20)",
            create_query="CREATE TABLE d.t (`a` DateTime, `b` DateTime TTL a + toIntervalDay(1))",
        )
    )
    assert surprising.obstacles == ()
    assert len(surprising.warnings) == 5  # engine, TTL, column TTL, keys, guess


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"engine": "View"}, "view"),
        ({"engine": "MaterializedView"}, "view"),
        ({"engine": "Memory"}, "Memory"),
        ({"engine": "Distributed"}, "Distributed"),
        ({"table": ".inner_id.5"}, "hidden"),
        ({"table": "a-b"}, "name"),
        ({"database": "ä"}, "name"),
    ],
)
def test_what_is_skipped(changes: dict[str, str], word: str) -> None:
    assert word in (why_skipped(table(**changes)) or "")
    assert why_skipped(table()) is None
