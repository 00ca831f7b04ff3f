"""Columns are cast exactly, or refused with their name."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    DecimalType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestamptzType,
    UUIDType,
)

from consumer.domain.errors import SourceUnavailableError, TargetMismatchError, UnsupportedTypeError
from spark.columns import ColumnCast, digest_sum


def cast_to(*fields: NestedField, source: pa.Schema | None = None) -> ColumnCast:
    schema = Schema(*fields)
    everything = schema_to_pyarrow(schema, include_field_ids=False).append(pa.field("_icehaul_digest", pa.uint64()))
    return ColumnCast.to_iceberg(schema.model_dump_json(), everything if source is None else source)


def batch_of(**columns: pa.Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns)


def hashes(*values: int) -> pa.RecordBatch:
    return batch_of(_icehaul_digest=pa.array(values, pa.uint64()))


def test_values_keep_their_exact_content() -> None:
    cast = cast_to(
        NestedField(1, "ts", TimestamptzType(), required=True),
        NestedField(2, "price", DecimalType(18, 8), required=True),
        NestedField(3, "note", StringType(), required=False),
        NestedField(4, "tags", ListType(5, StringType(), element_required=True), required=True),
    )
    instant = datetime(2299, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    batch = batch_of(
        ts=pa.array([instant], pa.timestamp("us", "UTC")),
        price=pa.array([Decimal("-9999999999.99999999")], pa.decimal128(18, 8)),
        note=pa.array([None], pa.string()),
        tags=pa.array([["", "🧊"]], pa.list_(pa.string())),
        _icehaul_digest=pa.array([1], pa.uint64()),
    )

    assert cast.cast(batch).to_pylist() == [
        {"ts": instant, "price": Decimal("-9999999999.99999999"), "note": None, "tags": ["", "🧊"]}
    ]


def test_text_lists_and_maps_are_taken_over_without_a_copy() -> None:
    cast = cast_to(
        NestedField(1, "note", StringType(), required=False),
        NestedField(2, "tags", ListType(3, StringType(), element_required=True), required=True),
        NestedField(4, "attributes", MapType(5, StringType(), 6, StringType(), value_required=True), required=True),
    )
    text = pa.field("value", pa.string(), nullable=False)
    batch = batch_of(
        note=pa.array(["a", None]),
        tags=pa.array([["x"], []], pa.list_(pa.field("item", pa.string(), nullable=False))),
        attributes=pa.array([[("k", "v")], []], pa.map_(pa.field("key", pa.string(), nullable=False), text)),
    )

    result = cast.cast(batch)

    for column in batch.schema.names:
        before, after = batch.column(column).buffers(), result.column(column).buffers()
        assert [one and one.address for one in before] == [one and one.address for one in after], column
        assert batch.column(column).to_pylist() == result.column(column).to_pylist()


def test_text_that_becomes_bytes_need_not_be_utf8_whatever_stands_beside_it() -> None:
    body = StructType(
        NestedField(4, "id", UUIDType(), required=True),
        NestedField(5, "body", BinaryType(), required=True),
        NestedField(6, "note", StringType(), required=True),
    )
    cast = cast_to(NestedField(1, "parts", ListType(3, body, element_required=True), required=True))

    def parts(note: bytes) -> pa.RecordBatch:
        # As ClickHouse sends it: a UUID as its 16 bytes, all else as text.
        columns = {
            "id": pa.array([b"0" * 16], pa.binary(16)),
            "body": pa.array([b"\xc3\x28"]).view(pa.string()),
            "note": pa.array([note]).view(pa.string()),
        }
        fields = [pa.field(name, column.type, nullable=False) for name, column in columns.items()]
        struct = pa.StructArray.from_arrays(list(columns.values()), fields=fields)
        listed = pa.list_(pa.field("item", struct.type, nullable=False))
        return batch_of(parts=pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), struct, type=listed))

    (row,) = cast.cast(parts(b"ice")).column("parts").to_pylist()
    assert (row[0]["body"], row[0]["note"]) == (b"\xc3\x28", "ice")
    with pytest.raises(UnsupportedTypeError, match="UTF8"):
        cast.cast(parts(b"\xc3\x28"))


def test_fields_carry_the_targets_ids_at_every_depth() -> None:
    tags = MapType(8, StringType(), 9, LongType(), value_required=True)
    schema = cast_to(NestedField(7, "tags", tags, required=True)).schema

    assert schema.field("tags").metadata[b"PARQUET:field_id"] == b"7"
    assert schema.field("tags").type.key_field.metadata[b"PARQUET:field_id"] == b"8"
    assert schema.field("tags").type.item_field.metadata[b"PARQUET:field_id"] == b"9"


def test_columns_are_found_by_name_whatever_their_order() -> None:
    cast = cast_to(
        NestedField(2, "b", LongType(), required=True),
        NestedField(1, "a", LongType(), required=True),
    )

    result = cast.cast(batch_of(a=pa.array([1], pa.int64()), b=pa.array([2], pa.int64())))

    assert result.to_pylist() == [{"b": 2, "a": 1}]


@pytest.mark.parametrize(
    ("array", "type_"),
    [
        pytest.param(pa.array([2**31], pa.int64()), IntegerType(), id="an integer that does not fit"),
        pytest.param(pa.array([2**63], pa.uint64()), LongType(), id="an unsigned integer that would wrap"),
        pytest.param(pa.array([1.5]), LongType(), id="a fraction"),
        pytest.param(pa.array([Decimal("0.001")]), DecimalType(18, 2), id="a decimal with more places"),
        pytest.param(pa.array([b"\xc3\x28"]).view(pa.string()), StringType(), id="bytes that are no UTF-8"),
        pytest.param(pa.array([1], pa.timestamp("ns", "UTC")), TimestamptzType(), id="a nanosecond"),
        pytest.param(pa.array([[1]]), LongType(), id="a list for a number"),
        pytest.param(pa.array([None], pa.int64()), LongType(), id="a null in a required column"),
    ],
)
def test_a_value_that_would_be_lost_is_refused_with_its_column(array: pa.Array, type_: LongType) -> None:
    with pytest.raises(UnsupportedTypeError, match="column amount"):
        cast_to(NestedField(1, "amount", type_, required=True)).cast(batch_of(amount=array))


@pytest.mark.parametrize(
    "names", [["a"], ["_icehaul_digest"], ["a", "b", "_icehaul_digest"], ["a", "a", "_icehaul_digest"]]
)
def test_columns_that_differ_from_the_targets_are_refused(names: list[str]) -> None:
    with pytest.raises(TargetMismatchError):
        cast_to(
            NestedField(1, "a", LongType(), required=True), source=pa.schema([(name, pa.int64()) for name in names])
        )


def test_optional_fields_that_do_not_arrive_are_not_in_the_file() -> None:
    inner = StructType(
        NestedField(4, "x", LongType()), NestedField(5, "gone", LongType()), NestedField(6, "y", LongType())
    )
    cast = cast_to(
        NestedField(1, "a", LongType(), required=True),
        NestedField(2, "dropped", LongType()),
        NestedField(3, "t", inner),
        source=pa.schema(
            [
                ("t", pa.struct([("y", pa.int64()), ("x", pa.int64())])),
                ("a", pa.int64()),
                ("_icehaul_digest", pa.uint64()),
            ]
        ),
    )

    assert cast.schema.names == ["a", "t"]
    ids = {field.name: field.metadata[b"PARQUET:field_id"] for field in cast.schema.field("t").type}
    assert ids == {"y": b"6", "x": b"4"}


def test_a_field_of_a_tuple_that_the_target_does_not_have_is_refused() -> None:
    with pytest.raises(TargetMismatchError, match="column t: the target has no field z"):
        cast_to(
            NestedField(3, "t", StructType(NestedField(4, "x", LongType()))),
            source=pa.schema([("t", pa.struct([("z", pa.int64())])), ("_icehaul_digest", pa.uint64())]),
        )


@given(st.lists(st.integers(min_value=0, max_value=2**64 - 1), max_size=20))
def test_the_digest_is_the_sum_modulo_two_to_the_64th(values: list[int]) -> None:
    assert digest_sum(hashes(*values)) == sum(values) % 2**64


@pytest.mark.parametrize("column", [pa.array([1, None], pa.uint64()), pa.array([1], pa.int64())])
def test_a_row_without_a_hash_is_an_error(column: pa.Array) -> None:
    with pytest.raises(SourceUnavailableError, match="_icehaul_digest"):
        digest_sum(batch_of(_icehaul_digest=column))
