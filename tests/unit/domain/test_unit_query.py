from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from consumer.domain.batch import SequenceRange, Unit
from consumer.domain.mapping import SourceColumn, TableMapping
from consumer.domain.stream import Stream, TableName
from consumer.domain.type_mapping import map_table
from consumer.domain.unit_query import (
    READ_SETTINGS,
    file_rows,
    file_structure,
    fingerprint_query,
    table_unchanged,
    types_unchanged,
    unit_query,
    window_condition,
)
from consumer.domain.window import Window

TABLE = TableName.parse("market.trades")
WINDOW = Window(lower=datetime(2024, 1, 1, tzinfo=UTC), upper=datetime(2024, 1, 2, tzinfo=UTC))
STREAM = Stream(name="s", source=TABLE, target=TABLE, timestamp_column="ts", sequence_columns=("seq", "venue"))


def mapping() -> TableMapping:
    columns = [
        SourceColumn(name="ts", type="DateTime64(3)"),
        SourceColumn(name="seq", type="UInt64"),
        SourceColumn(name="venue", type="LowCardinality(String)"),
    ]
    return map_table(columns, timestamp_column="ts", sequence_columns=("seq", "venue"))


def query(sequence: SequenceRange | None = None) -> str:
    return unit_query(STREAM, mapping(), Unit(index=0, window=WINDOW, rows=1, sequence=sequence))


def test_the_filter_compares_raw_columns_inside_and_the_conversion_stands_outside() -> None:
    outer, _, inner = query().partition(" FROM (SELECT CAST(")

    assert outer.startswith("SELECT `ts`, `seq`, `venue`, cityHash64(`ts`, `seq`, `venue`, throwIf(")
    assert outer.endswith(" AS `_icehaul_digest`")
    assert "FROM (SELECT `ts`, `seq`, `venue` FROM `market`.`trades` WHERE `ts` >= toDateTime64(" in inner
    assert "ORDER BY" not in inner


def test_a_sequence_range_is_half_open_and_compared_in_the_columns_own_types() -> None:
    text = query(SequenceRange(lower=("1", "a"), upper=("2", "b")))

    key = "tuple(`seq`, `venue`)"
    low = "tuple(CAST('1' AS UInt64), CAST('a' AS LowCardinality(String)))"
    high = "tuple(CAST('2' AS UInt64), CAST('b' AS LowCardinality(String)))"
    assert f" AND {key} >= {low} AND {key} < {high} AND " in text


def test_an_open_side_of_a_sequence_range_is_left_out() -> None:
    assert "tuple(`seq`, `venue`) >=" not in query(SequenceRange(lower=None, upper=("2", "b")))
    assert "tuple(`seq`, `venue`) <" not in query(SequenceRange(lower=("2", "b"), upper=None))


def test_values_in_bounds_can_not_leave_their_literal() -> None:
    text = query(SequenceRange(lower=("1", "x' OR '1' = '1\\"), upper=None))

    assert r"CAST('x\' OR \'1\' = \'1\\' AS LowCardinality(String))" in text


def test_files_are_read_as_the_wire_types_and_hashed_by_the_same_expression() -> None:
    mapped = mapping()

    assert file_structure(mapped) == "`ts` DateTime64(6, 'UTC'), `seq` Decimal(20, 0), `venue` String"
    assert file_rows(mapped, "f()") == "SELECT `ts` AS `ts`, `seq` AS `seq`, `venue` AS `venue` FROM f()"
    hashes = f"SELECT {mapped.digest_sql()} AS _icehaul_hash FROM (q)"
    assert fingerprint_query(mapped, "q") == f"SELECT count() AS rows, sum(_icehaul_hash) AS digest FROM ({hashes})"
    assert mapped.digest_sql() in query()


def test_a_null_enters_the_hash_beside_its_default() -> None:
    columns = [SourceColumn(name="ts", type="DateTime"), SourceColumn(name="size", type="Nullable(Int32)")]
    mapped = map_table(columns, timestamp_column="ts", sequence_columns=())

    assert "isNull(`size`), ifNull(`size`, defaultValueOfTypeName('Int32'))" in mapped.digest_sql()


def test_the_guards_of_types_and_table_stand_in_the_reading_query() -> None:
    mapped = replace(mapping(), source_uuid=UUID(int=7))
    text = unit_query(STREAM, mapped, Unit(index=0, window=WINDOW, rows=1))

    assert f" AND {types_unchanged(mapped)}" in text
    assert f" AND {table_unchanged(STREAM, mapped)}" in text
    assert "00000000-0000-0000-0000-000000000007" in table_unchanged(STREAM, mapped)


def test_the_guard_of_the_types_ignores_how_a_server_lays_out_type_names() -> None:
    guard = types_unchanged(mapping())

    assert guard.startswith(
        r"throwIf(replaceRegexpAll(toTypeName(`ts`), '\\s', '') != 'DateTime64(3)'"
        r" OR replaceRegexpAll(toTypeName(`seq`), '\\s', '') != 'UInt64' OR "
    )


def test_the_condition_of_a_window_stands_alone() -> None:
    assert window_condition(STREAM, mapping(), WINDOW) == (
        "`ts` >= toDateTime64('2024-01-01 00:00:00.000', 3, 'UTC')"
        " AND `ts` < toDateTime64('2024-01-02 00:00:00.000', 3, 'UTC')"
    )


def test_no_setting_may_shorten_a_result() -> None:
    assert {value for name, value in READ_SETTINGS.items() if name.endswith("overflow_mode")} == {"throw"}
