from __future__ import annotations

import pytest
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    StringType,
    StructType,
    TimestamptzType,
    UUIDType,
)

from consumer.domain.errors import SourceMissingError, TimeColumnError, UnsupportedTypeError
from consumer.domain.mapping import ColumnMapping, SourceColumn
from consumer.domain.type_mapping import RESERVED, map_table

TIME = SourceColumn(name="ts", type="DateTime64(3, 'UTC')")


def column(type_: str) -> ColumnMapping:
    return map_table([TIME, SourceColumn(name="c", type=type_)], timestamp_column="ts").columns[1]


@pytest.mark.parametrize(
    ("source", "iceberg", "wire"),
    [
        ("Int8", IntegerType(), "Int32"),
        ("Int16", IntegerType(), "Int32"),
        ("Int32", IntegerType(), "Int32"),
        ("Int64", LongType(), "Int64"),
        ("UInt8", IntegerType(), "Int32"),
        ("UInt16", IntegerType(), "Int32"),
        ("UInt32", LongType(), "Int64"),
        ("UInt64", DecimalType(20, 0), "Decimal(20, 0)"),
        ("Float32", FloatType(), "Float32"),
        ("Float64", DoubleType(), "Float64"),
        ("Decimal(9, 2)", DecimalType(9, 2), "Decimal(9, 2)"),
        ("Decimal(38, 38)", DecimalType(38, 38), "Decimal(38, 38)"),
        ("String", StringType(), "String"),
        ("Bool", BooleanType(), "Bool"),
        ("Date", DateType(), "Date32"),
        ("Date32", DateType(), "Date32"),
        ("DateTime", TimestamptzType(), "DateTime64(6, 'UTC')"),
        ("DateTime('Europe/Berlin')", TimestamptzType(), "DateTime64(6, 'UTC')"),
        ("DateTime64(0)", TimestamptzType(), "DateTime64(6, 'UTC')"),
        ("DateTime64(6, 'Asia/Tokyo')", TimestamptzType(), "DateTime64(6, 'UTC')"),
        ("UUID", UUIDType(), "FixedString(16)"),
        ("Enum8('a' = 1, 'b' = -1)", StringType(), "String"),
        ("Enum16('a' = 1000)", StringType(), "String"),
        ("LowCardinality(String)", StringType(), "String"),
        ("SimpleAggregateFunction(max, UInt64)", DecimalType(20, 0), "Decimal(20, 0)"),
    ],
)
def test_a_scalar_has_one_exact_counterpart(source: str, iceberg: IcebergType, wire: str) -> None:
    mapped = column(source)
    nullable = column(f"Nullable({source})") if "(max" not in source and "LowC" not in source else None

    assert (mapped.iceberg_type, mapped.wire_type, mapped.required) == (iceberg, wire, True)
    if nullable is not None:
        assert (nullable.iceberg_type, nullable.required) == (iceberg, False)
        assert nullable.wire_type == f"Nullable({wire})"


def test_low_cardinality_and_simple_aggregates_pass_nullable_on() -> None:
    assert column("LowCardinality(Nullable(String))").required is False
    assert column("SimpleAggregateFunction(anyLast, Nullable(Int8))").required is False


def test_containers_nest_and_keep_the_nullability_of_their_parts() -> None:
    mapped = column("Map(LowCardinality(String), Array(Tuple(a Nullable(UInt8), b Array(UUID))))").iceberg_type

    assert isinstance(mapped, MapType)
    assert (mapped.key_type, mapped.value_required) == (StringType(), True)
    elements = mapped.value_type
    assert isinstance(elements, ListType)
    assert elements.element_required
    fields = elements.element_type
    assert isinstance(fields, StructType)
    assert [(field.name, field.required) for field in fields.fields] == [("a", False), ("b", True)]


def test_unnamed_tuple_elements_are_numbered_from_one() -> None:
    mapped = column("Tuple(UInt8, String)")

    assert isinstance(mapped.iceberg_type, StructType)
    assert [field.name for field in mapped.iceberg_type.fields] == ["_1", "_2"]
    assert mapped.wire_type == "Tuple(`_1` Int32, `_2` String)"


def test_nested_is_an_array_of_tuples() -> None:
    assert column("Nested(k String, v UInt8)").wire_type == "Array(Tuple(`k` String, `v` Int32))"


def test_the_schema_has_unique_ids_and_keeps_the_source_type_in_the_doc() -> None:
    columns = [
        TIME,
        SourceColumn(name="a", type="Map(String, Array(Nullable(UInt8)))"),
        SourceColumn(name="b", type="Tuple(x String, y Array(Tuple(Bool)))"),
    ]

    schema = map_table(columns, timestamp_column="ts").iceberg_schema()

    assert [field.field_id for field in schema.fields] == [1, 2, 3]
    assert [field.doc for field in schema.fields] == [f"ClickHouse {column.type}" for column in columns]
    assert len(schema.field_ids) == 3 + 3 + 4
    assert Schema.model_validate_json(schema.model_dump_json()) == schema


@pytest.mark.parametrize(
    ("type_", "choice"),
    [
        ("FixedString(16)", "String"),
        ("Int128", r"Decimal\(38, 0\)"),
        ("UInt256", r"Decimal\(38, 0\)"),
        ("Decimal(76, 10)", "38 digits"),
        ("DateTime64(9, 'UTC')", r"DateTime64\(6\)"),
        ("DateTime64(7)", r"DateTime64\(6\)"),
        ("IPv4", "IPv4NumToString"),
        ("IPv6", "IPv6NumToString"),
        ("AggregateFunction(quantiles(0.5, 0.9), Float64)", "finalizeAggregation"),
        ("JSON", "toString"),
        ("JSON(max_dynamic_paths = 8, a.b UInt32)", "String"),
        ("Variant(String, UInt8)", "String"),
        ("Dynamic(max_types=10)", "String"),
        ("Dynamic", "String"),
        ("Object('json')", "String"),
        ("Point", "String"),
        ("Nothing", "String"),
        ("IntervalDay", "String"),
        ("Time64(3)", "Int64"),
        ("BFloat16", "Float32"),
        ("Tuple()", "leaving it out"),
        ("Tuple(`a b` UInt8)", "other element names"),
        ("Nullable(Tuple(UInt8))", "Tuple"),
        ("Map(LowCardinality(Nullable(String)), UInt8)", "not Nullable"),
        ("something new(", "String"),
    ],
)
@pytest.mark.parametrize("around", ["{}", "Array({})", "Tuple(x Array({}))"])
def test_a_type_without_counterpart_is_refused_with_column_type_and_choices(
    type_: str, choice: str, around: str
) -> None:
    source = around.format(type_)

    with pytest.raises(UnsupportedTypeError, match=choice) as refusal:
        column(source)

    assert "column 'c'" in refusal.value.message
    assert source in refusal.value.message


@pytest.mark.parametrize("name", ["a.b", "a b", "1a", "größe", "", *sorted(RESERVED)])
def test_a_column_name_that_engines_do_not_agree_on_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedTypeError, match="rename"):
        map_table([TIME, SourceColumn(name=name, type="String")], timestamp_column="ts")


@pytest.mark.parametrize(
    ("type_", "reason"),
    [
        ("Nullable(DateTime)", "Nullable"),
        ("LowCardinality(Nullable(DateTime))", "Nullable"),
        ("String", "no time"),
        ("UInt64", "no time"),
        ("DateTime64(9)", "finer than a microsecond"),
    ],
)
def test_a_time_column_that_can_not_order_all_rows_is_refused(type_: str, reason: str) -> None:
    with pytest.raises(TimeColumnError, match=reason) as refusal:
        map_table([SourceColumn(name="ts", type=type_)], timestamp_column="ts")

    assert f"column 'ts' has the type {type_}" in refusal.value.message


def test_a_missing_time_column_is_named_with_the_columns_there_are() -> None:
    with pytest.raises(SourceMissingError, match=r"timestamp_column: the source has no column 'at'; it has ts"):
        map_table([TIME], timestamp_column="at")


def test_a_missing_sequence_column_is_named() -> None:
    with pytest.raises(SourceMissingError, match="sequence_columns: the source has no column 'n'"):
        map_table([TIME], timestamp_column="ts", sequence_columns=["n"])


@pytest.mark.parametrize("type_", ["Nullable(UInt64)", "Float64", "Array(UInt8)", "Tuple(UInt8)", "Map(String, UInt8)"])
def test_a_sequence_column_without_a_total_order_is_refused(type_: str) -> None:
    with pytest.raises(UnsupportedTypeError, match="sequence_columns: column 'n'"):
        map_table([TIME, SourceColumn(name="n", type=type_)], timestamp_column="ts", sequence_columns=["n"])
