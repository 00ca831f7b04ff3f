from __future__ import annotations

import pytest
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
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
from consumer.domain.type_choices import As
from consumer.domain.type_mapping import RESERVED, map_table

TIME = SourceColumn(name="ts", type="DateTime64(3, 'UTC')")


def column(type_: str, chosen: As | None = None) -> ColumnMapping:
    choice = {} if chosen is None else {"c": chosen}
    return map_table([TIME, SourceColumn(name="c", type=type_)], timestamp_column="ts", chosen=choice).columns[1]


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
        ("FixedString(5)", FixedType(5), "FixedString(5)"),
        ("IPv4", StringType(), "String"),
        ("IPv6", StringType(), "String"),
        ("BFloat16", FloatType(), "Float32"),
        ("IntervalDay", LongType(), "Int64"),
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
        ("Int128", "columns.c.*decimal"),
        ("UInt256", "columns.c.*string"),
        ("Decimal(76, 10)", "columns.c.*decimal"),
        ("Decimal(76, 70)", "columns.c.*string"),
        ("DateTime64(9, 'UTC')", "columns.c.*micros.*nanos"),
        ("DateTime64(7)", "columns.c.*micros.*nanos"),
        ("AggregateFunction(quantiles(0.5, 0.9), Float64)", "columns.c.*binary.*finalizeAggregation"),
        ("JSON", "columns.c.*string"),
        ("JSON(max_dynamic_paths = 8, a.b UInt32, SKIP c.`d e`, SKIP REGEXP 'f.*')", "columns.c.*string"),
        ("Variant(String, UInt8)", "columns.c.*string"),
        ("Dynamic(max_types=10)", "columns.c.*string"),
        ("Dynamic", "columns.c.*string"),
        ("Object('json')", "columns.c.*string"),
        ("Geometry", "columns.c.*string"),
        ("Time", "columns.c.*long"),
        ("Time64(3)", "columns.c.*decimal"),
        ("Nothing", "cast to String"),
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
    assert "materialized view" in refusal.value.remedy
    assert source in refusal.value.message


@pytest.mark.parametrize(
    ("source", "chosen", "iceberg", "required"),
    [
        ("Int256", As.STRING, StringType(), True),
        ("Nullable(UInt128)", As.DECIMAL, DecimalType(38, 0), False),
        ("Decimal(76, 10)", As.DECIMAL, DecimalType(38, 10), True),
        ("DateTime64(9)", As.MICROS, TimestamptzType(), True),
        ("DateTime64(7, 'UTC')", As.NANOS, LongType(), True),
        ("LowCardinality(Nullable(String))", As.BINARY, BinaryType(), False),
        ("FixedString(4)", As.STRING, StringType(), True),
        ("IPv4", As.LONG, LongType(), True),
        ("IPv6", As.BINARY, FixedType(16), True),
        ("Time", As.LONG, IntegerType(), True),
        ("Time64(3)", As.DECIMAL, DecimalType(18, 3), True),
        ("Variant(String, UInt8)", As.STRING, StringType(), False),
        ("AggregateFunction(sum, UInt64)", As.BINARY, BinaryType(), True),
    ],
)
def test_a_choice_decides_where_a_type_leaves_one(
    source: str, chosen: As, iceberg: IcebergType, required: bool
) -> None:
    mapped = column(source, chosen)
    assert (mapped.iceberg_type, mapped.required) == (iceberg, required)


def test_a_choice_counts_for_every_part_of_its_column_and_for_no_other() -> None:
    mapped = column("Map(String, Tuple(UInt8, Array(String)))", As.BINARY).iceberg_type

    assert isinstance(mapped, MapType)
    assert mapped.key_type == BinaryType()
    assert isinstance(mapped.value_type, StructType)
    number, texts = (field.field_type for field in mapped.value_type.fields)
    assert number == IntegerType()
    assert isinstance(texts, ListType)
    assert texts.element_type == BinaryType()


def test_bytes_need_not_be_text_and_text_must() -> None:
    assert "isValidUTF8" in column("String").digest_sql
    assert "isValidUTF8" not in column("String", As.BINARY).digest_sql
    assert "isValidUTF8" in column("FixedString(4)", As.STRING).digest_sql
    assert column("String").file_digest_sql == "`c`, toUInt8(0)"


@pytest.mark.parametrize(
    ("source", "chosen"), [("UInt8", As.STRING), ("String", As.MICROS), ("DateTime64(6)", As.NANOS)]
)
def test_a_choice_that_a_type_does_not_leave_is_refused_with_what_it_becomes(source: str, chosen: As) -> None:
    with pytest.raises(UnsupportedTypeError, match=f"columns.c: {chosen} is no choice for the type") as refusal:
        column(source, chosen)

    assert f"becomes {column(source).iceberg_type}" in refusal.value.remedy


def test_a_choice_for_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(SourceMissingError, match="columns: the source has no column 'amuont'; it has ts"):
        map_table([TIME], timestamp_column="ts", chosen={"amuont": As.STRING})


@pytest.mark.parametrize(
    ("geometry", "depth"),
    [
        ("Point", 0),
        ("Ring", 1),
        ("LineString", 1),
        ("MultiPoint", 1),
        ("Polygon", 2),
        ("MultiLineString", 2),
        ("MultiPolygon", 3),
    ],
)
def test_geometric_types_are_lists_of_points(geometry: str, depth: int) -> None:
    found = column(geometry).iceberg_type
    for _ in range(depth):
        assert isinstance(found, ListType)
        found = found.element_type
    assert isinstance(found, StructType)
    assert [(field.name, field.field_type) for field in found.fields] == [("x", DoubleType()), ("y", DoubleType())]


@pytest.mark.parametrize("name", ["a.b", "a b", "1a", "größe", "", *sorted(RESERVED)])
def test_a_column_name_that_engines_do_not_agree_on_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedTypeError, match="rename"):
        map_table([TIME, SourceColumn(name=name, type="String")], timestamp_column="ts")


@pytest.mark.parametrize("name", ["_part", "_partition_id", "_shard_num"])
def test_a_column_that_hides_where_a_row_lies_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedTypeError, match=f"column '{name}' .* hides ClickHouse's own column"):
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


@pytest.mark.parametrize("holder", ["Array({})", "Map(String, {})", "Tuple(a {}, b Int8)", "Array(Array({}))"])
def test_a_vector_inside_of_something_is_cast_by_itself_both_ways(holder: str) -> None:
    found = column(holder.format("QBit(BFloat16, 3)"))

    # CAST refuses a whole array of vectors.
    assert "AS Array(Float32))" in found.read_sql
    assert "AS QBit(BFloat16, 3))" in found.restore_sql
