"""The statements that restore rows, and the columns that a target remembers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.schema import Schema
from pyiceberg.types import NestedField, TimestampType

from consumer.domain.clickhouse_type import parse_type
from consumer.domain.errors import StreamError, UnsupportedTypeError
from consumer.domain.mapping import SourceColumn, TableMapping
from consumer.domain.recorded_columns import recorded_columns
from consumer.domain.restore_query import (
    TableLayout,
    copy_statement,
    create_statement,
    destination_mapping,
    insert_statement,
    layout_of,
    lost_columns,
    restored_mapping,
)
from consumer.domain.stream import Stream, TableName
from consumer.domain.type_choices import As, choices
from consumer.domain.type_mapping import map_source
from consumer.domain.window import EVER, PartitionBy
from consumer.entrypoints.type_reference import EXAMPLES
from tests.support.typed_values import CHOSEN, MADE_OF_OTHERS, RECENT, TypedValues, types

TABLE = TableName(database="d", table="t")
TIME = SourceColumn(name="ts", type="DateTime64(6, 'UTC')")
TYPES = st.one_of(types(), st.sampled_from([*MADE_OF_OTHERS, *RECENT, *CHOSEN]))


def stream(**chosen: As) -> Stream:
    return Stream(name="s", source=TABLE, target=TABLE, timestamp_column="ts", columns=tuple(chosen.items()))


def mapped(typed: TypedValues) -> tuple[Stream, TableMapping]:
    one = stream() if typed.choice is None else stream(c=typed.choice)
    return one, map_source(one, [TIME, SourceColumn(name="c", type=typed.type)])


@given(TYPES)
def test_a_target_remembers_every_type_of_its_source(typed: TypedValues) -> None:
    _, mapping = mapped(typed)
    columns = recorded_columns(mapping.iceberg_schema())
    assert [(one.column.type, one.known) for one in columns] == [(TIME.type, True), (typed.type, True)]


@given(TYPES)
def test_a_target_that_has_forgotten_gives_types_that_hold_the_same_values(typed: TypedValues) -> None:
    one, mapping = mapped(typed)
    fields = (field.model_copy(update={"doc": None}) for field in mapping.iceberg_schema().fields)
    columns = recorded_columns(Schema(*fields))
    assert [column.known for column in columns] == [False, False]
    guessed = restored_mapping(one, [column.column for column in columns])
    assert [(column.wire_type, column.digest_sql) for column in guessed.columns] == [
        (column.wire_type, column.digest_sql) for column in mapping.columns
    ]


@pytest.mark.parametrize("doc", ["ClickHouse String) ENGINE = Null --", "ClickHouse ", "an amount", "clickhouse Int8"])
def test_a_doc_that_is_no_type_is_no_part_of_a_statement(doc: str) -> None:
    _, mapping = mapped(TypedValues("Int8", st.just("1")))
    time, field = mapping.iceberg_schema().fields
    (_, column) = recorded_columns(Schema(time, field.model_copy(update={"doc": doc})))
    assert (column.column.type, column.known) == ("Int32", False)


def test_a_type_that_was_never_written_is_refused_by_its_column() -> None:
    with pytest.raises(UnsupportedTypeError, match="column 'at' of the target has the type timestamp"):
        recorded_columns(Schema(NestedField(1, "at", TimestampType(), required=True)))


def test_the_way_back_begins_with_the_wire_value() -> None:
    one, mapping = mapped(TypedValues("Array(Nullable(UUID))", st.just("[]")))
    statement = insert_statement(one, mapping, TABLE, EVER, ["s3('a')", "s3('b')"])
    assert statement.startswith(
        "INSERT INTO `d`.`t` (`ts`, `c`) SELECT CAST(`ts` AS DateTime64(6, 'UTC')),"
        " CAST(arrayMap(_e0 -> toUUID(UUIDNumToString(_e0)), `c`) AS Array(Nullable(UUID))) FROM (SELECT * FROM ("
    )
    assert statement.count(" UNION ALL ") == 1


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_a_choice_loses_for_good_is_said_wherever_the_type_stands(example: str) -> None:
    for choice, what in choices(parse_type(example)).items():
        for type_ in (example, f"Array({example})"):
            one = stream(c=choice)
            mapping = map_source(one, [TIME, SourceColumn(name="c", type=type_)])
            assert lost_columns(one, mapping) == ({} if what.returns else {"c": what.loses})


def test_times_cut_to_microseconds_and_values_of_any_type_are_what_can_not_come_back() -> None:
    lossy = {
        (parse_type(example).name, choice)
        for example in EXAMPLES
        for choice, what in choices(parse_type(example)).items()
        if not what.returns
    }
    untyped = {(name, As.STRING) for name in ("JSON", "Object", "Variant", "Dynamic", "Geometry")}
    assert lossy - {("Object", As.STRING)} == {("DateTime64", As.MICROS), *untyped} - {("Object", As.STRING)}


def test_a_destination_may_hold_the_values_in_another_type_of_the_same_form() -> None:
    one, mapping = mapped(TypedValues("LowCardinality(String)", st.just("''")))
    columns = [SourceColumn(name="more", type="Int8"), SourceColumn(name="c", type="String"), TIME]
    there = destination_mapping(one, mapping, TABLE, columns)
    assert [(column.name, column.source_type) for column in there.columns] == [("ts", TIME.type), ("c", "String")]
    assert there.digest_sql() == mapping.digest_sql()


@pytest.mark.parametrize("columns", [[TIME], [TIME, SourceColumn(name="c", type="Int64")]])
def test_a_destination_that_would_not_hold_a_column_is_refused(columns: list[SourceColumn]) -> None:
    one, mapping = mapped(TypedValues("String", st.just("''")))
    with pytest.raises(StreamError, match=r"column c \(String\) can't be restored into d\.t"):
        destination_mapping(one, mapping, TABLE, columns)


def test_a_new_table_keeps_every_row_and_has_the_sources_keys() -> None:
    _, mapping = mapped(TypedValues("Nullable(Int8)", st.just("1")))
    statement = create_statement(
        TABLE, mapping, TableLayout(partition_key="toDate(ts)", sorting_key="ts, c"), comment="it's"
    )
    assert statement == (
        "CREATE TABLE `d`.`t`\n(\n    `ts` DateTime64(6, 'UTC'),\n    `c` Nullable(Int8)\n)\nENGINE = MergeTree\n"
        "PARTITION BY toDate(ts)\nORDER BY (ts, c)\nSETTINGS allow_nullable_key = 1\nCOMMENT 'it\\'s'"
    )
    bare = create_statement(TABLE, mapping, TableLayout(partition_key="", sorting_key=""))
    assert bare.endswith("ENGINE = MergeTree\nORDER BY tuple()")
    assert copy_statement(TABLE, TABLE, "x") == "CREATE TABLE `d`.`t` AS `d`.`t` COMMENT 'x'"


def test_without_its_source_a_table_has_months_and_the_order_of_the_target() -> None:
    one = Stream(name="s", source=TABLE, target=TABLE, timestamp_column="ts", sequence_columns=("seq",))
    assert layout_of(one, ()) == TableLayout(partition_key="toYYYYMM(`ts`)", sorting_key="`ts`, `seq`")
    assert layout_of(one, ("a", "ts")).sorting_key == "`a`, `ts`"
    whole = Stream(name="s", source=TABLE, target=TABLE, timestamp_column="ts", partition_by=PartitionBy.NONE)
    assert layout_of(whole, ()).partition_key == ""
