"""Footers of Parquet files: read, changed and written so that nothing else changes."""

from __future__ import annotations

import math
from decimal import Decimal
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.schema import Schema
from pyiceberg.types import DecimalType, DoubleType, ListType, LongType, MapType, NestedField, StringType, UUIDType

from consumer.domain.errors import UnsupportedTypeError
from spark.iceberg_footer import complete
from spark.parquet_footer import TRAILER_BYTES, FooterError, ParquetFooter, footer_length, with_trailer

PROOF = "proof"


def file_of(table: pa.Table, rows: int = 1_000_000) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=rows, store_schema=False)
    return bytes(sink.getvalue())


def cut(file: bytes) -> tuple[bytes, bytes]:
    length = footer_length(file[-TRAILER_BYTES:])
    return file[: -TRAILER_BYTES - length], file[-TRAILER_BYTES - length : -TRAILER_BYTES]


def with_footer(data: bytes, footer: ParquetFooter) -> pq.ParquetFile:
    return pq.ParquetFile(BytesIO(data + with_trailer(footer.to_bytes())))


TABLE = pa.table(
    {
        "n": pa.array([3, 1, 2], pa.int64()),
        "f": pa.array([0.0, -0.0, math.nan], pa.float64()),
        "d": pa.array([Decimal("1.5"), None, Decimal("-9.9")], pa.decimal128(18, 8)),
        "id": pa.array([bytes(16)] * 3, pa.binary(16)),
        "tags": pa.array([["a"], [], ["b", None]], pa.list_(pa.string())),
        "map": pa.array([[("k", 1)], [], []], pa.map_(pa.string(), pa.int64())),
    },
    schema=pa.schema(
        [
            pa.field("n", pa.int64(), nullable=False),
            pa.field("f", pa.float64(), nullable=False),
            pa.field("d", pa.decimal128(18, 8)),
            pa.field("id", pa.binary(16), nullable=False),
            pa.field("tags", pa.list_(pa.string())),
            pa.field("map", pa.map_(pa.string(), pa.int64())),
        ]
    ),
)
SCHEMA = Schema(
    NestedField(11, "n", LongType(), required=True),
    NestedField(12, "f", DoubleType(), required=True),
    NestedField(13, "d", DecimalType(18, 8)),
    NestedField(14, "id", UUIDType(), required=True),
    NestedField(15, "tags", ListType(21, StringType(), element_required=False)),
    NestedField(16, "map", MapType(22, StringType(), 23, LongType(), value_required=False)),
)


@given(
    columns=st.lists(st.sampled_from(TABLE.schema.names), min_size=1, unique=True),
    rows=st.integers(0, 3),
    group=st.integers(1, 3),
)
def test_a_footer_is_written_as_it_was_read(columns: list[str], rows: int, group: int) -> None:
    _, footer = cut(file_of(TABLE.select(columns).slice(0, rows), group))

    assert ParquetFooter(footer).to_bytes() == footer


@given(st.binary(max_size=200))
def test_bytes_that_are_no_footer_are_one_kind_of_error(content: bytes) -> None:
    try:
        ParquetFooter(content)
    except FooterError:
        return
    assert ParquetFooter(content).rows is not None


@given(st.data())
def test_a_footer_that_breaks_off_or_has_a_flipped_byte_never_raises_anything_else(data: st.DataObject) -> None:
    _, footer = cut(file_of(TABLE))
    place = data.draw(st.integers(0, len(footer) - 1))
    flipped = footer[:place] + bytes([footer[place] ^ data.draw(st.integers(1, 255))]) + footer[place + 1 :]
    for content in (footer[:place], flipped):
        try:
            found = ParquetFooter(content)
            complete(found, SCHEMA)
            found.take_constant("n")
            found.to_bytes()
        except (FooterError, UnsupportedTypeError):
            pass


def test_a_constant_column_is_taken_out_and_the_others_read_as_before() -> None:
    table = TABLE.append_column(PROOF, pa.array(["3:42"] * 3)).select([*TABLE.schema.names[:2], PROOF, "tags"])
    data, content = cut(file_of(table, 2))
    footer = ParquetFooter(content)

    assert footer.take_constant(PROOF) == "3:42"

    assert str(with_footer(data, footer).read().to_pylist()) == str(table.drop_columns([PROOF]).to_pylist())
    totals = pq.read_metadata(BytesIO(data + with_trailer(footer.to_bytes()))).row_group(0)
    assert totals.total_byte_size == sum(
        totals.column(number).total_uncompressed_size for number in range(totals.num_columns)
    )


@pytest.mark.parametrize("values", [["1:2", "1:3", "1:2"], ["1:2", None, "1:2"], ["1:2", "1:2", "1:3"]])
def test_a_column_that_is_not_one_value_is_refused(values: list[str | None]) -> None:
    for group in (1, 3):
        _, content = cut(file_of(TABLE.append_column(PROOF, pa.array(values)), group))
        with pytest.raises(FooterError, match="proof is not one value"):
            ParquetFooter(content).take_constant(PROOF)


def test_a_missing_column_is_refused_and_a_file_without_rows_has_no_value() -> None:
    _, content = cut(file_of(TABLE))
    with pytest.raises(FooterError, match="proof is missing"):
        ParquetFooter(content).take_constant(PROOF)
    _, content = cut(file_of(TABLE.append_column(PROOF, pa.array(["0:0"] * 3)).slice(0, 0)))
    assert ParquetFooter(content).take_constant(PROOF) is None


def test_every_column_gets_its_field_id_below_lists_and_maps_too() -> None:
    data, content = cut(file_of(TABLE))
    footer = ParquetFooter(content)

    complete(footer, SCHEMA)

    schema = with_footer(data, footer).schema_arrow
    assert [int(field.metadata[b"PARQUET:field_id"]) for field in schema] == [11, 12, 13, 14, 15, 16]
    below = [
        schema.field("tags").type.value_field,
        schema.field("map").type.key_field,
        schema.field("map").type.item_field,
    ]
    assert [int(field.metadata[b"PARQUET:field_id"]) for field in below] == [21, 22, 23]
    assert with_footer(data, footer).schema.column(3).logical_type.type == "UUID"


def test_a_bound_that_is_zero_holds_both_zeros() -> None:
    data, content = cut(file_of(pa.table({"f": pa.array([0.0, -0.0])})))
    footer = ParquetFooter(content)

    complete(footer, Schema(NestedField(1, "f", DoubleType())))

    statistics = with_footer(data, footer).metadata.row_group(0).column(0).statistics
    assert (math.copysign(1, statistics.min), math.copysign(1, statistics.max)) == (-1, 1)


def test_a_decimal_with_more_digits_than_its_type_is_refused_by_its_column() -> None:
    table = pa.table({"d": pa.array([Decimal("12345.67")], pa.decimal128(18, 2))})
    _, content = cut(file_of(table))

    with pytest.raises(UnsupportedTypeError, match=r"column d: the value 1234567 / 10\^2"):
        complete(ParquetFooter(content), Schema(NestedField(1, "d", DecimalType(6, 2))))


@pytest.mark.parametrize(
    "schema",
    [
        Schema(*SCHEMA.fields[:-1]),
        Schema(*SCHEMA.fields, NestedField(17, "more", LongType(), required=True)),
        Schema(NestedField(1, "m", LongType()), *SCHEMA.fields[1:]),
        Schema(*SCHEMA.fields[:4], NestedField(15, "tags", StringType()), SCHEMA.fields[5]),
        Schema(NestedField(11, "n", ListType(30, LongType())), *SCHEMA.fields[1:]),
    ],
)
def test_other_columns_than_the_targets_are_refused(schema: Schema) -> None:
    _, content = cut(file_of(TABLE))
    with pytest.raises(FooterError):
        complete(ParquetFooter(content), schema)
