"""The source's columns as the target table remembers them: what is left of them once the source is gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    NestedField,
    StringType,
    StructType,
    TimestamptzType,
    UUIDType,
)

from consumer.domain.clickhouse_sql import quote_name
from consumer.domain.clickhouse_type import parse_type
from consumer.domain.errors import UnsupportedTypeError
from consumer.domain.mapping import DOC_PREFIX, SourceColumn

_PLAIN: dict[type[IcebergType], str] = {
    BooleanType: "Bool",
    IntegerType: "Int32",
    LongType: "Int64",
    FloatType: "Float32",
    DoubleType: "Float64",
    DateType: "Date32",
    TimestamptzType: "DateTime64(6, 'UTC')",
    StringType: "String",
    BinaryType: "String",
    UUIDType: "UUID",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedColumn:
    """A column of a target, with the type that it had, or may have had, in ClickHouse.

    ``known`` tells whether the table says so; else the type is the ClickHouse type that holds the column's values.
    """

    column: SourceColumn
    known: bool


def recorded_columns(schema: Schema) -> Sequence[RecordedColumn]:
    """Return the columns of a target with their ClickHouse types, in the table's order.

    icehaul writes the source's type into the doc of each column when it makes the table; tables of other tools, and
    catalogs that keep no docs, have none.

    Raises:
        UnsupportedTypeError: if a column says nothing, and its Iceberg type is one that icehaul never writes.
    """
    return [_recorded(field) for field in schema.fields]


def _recorded(field: NestedField) -> RecordedColumn:
    said = (field.doc or "").removeprefix(DOC_PREFIX)
    if said and said != field.doc and _is_type(said):
        return RecordedColumn(column=SourceColumn(name=field.name, type=said), known=True)
    try:
        type_ = _type(field.field_type, nullable=not field.required)
    except KeyError:
        raise UnsupportedTypeError(
            f"column {field.name!r} of the target has the type {field.field_type}, and does not say which type it had"
            " in ClickHouse",
            remedy=f"write that into the column's doc: {DOC_PREFIX}followed by the type; or read it by another engine",
        ) from None
    return RecordedColumn(column=SourceColumn(name=field.name, type=type_), known=False)


def _is_type(text: str) -> bool:
    """Tell whether a doc is the name of a type and nothing else: it becomes a part of statements."""
    try:
        parse_type(text)
    except ValueError:
        return False
    return True


def _type(iceberg: IcebergType, *, nullable: bool) -> str:
    match iceberg:
        case ListType():
            return f"Array({_type(iceberg.element_type, nullable=not iceberg.element_required)})"
        case MapType():
            key = _type(iceberg.key_type, nullable=False)
            return f"Map({key}, {_type(iceberg.value_type, nullable=not iceberg.value_required)})"
        case StructType():
            return f"Tuple({', '.join(map(_element, iceberg.fields))})"
        case DecimalType():
            plain = f"Decimal({iceberg.precision}, {iceberg.scale})"
        case FixedType():
            plain = f"FixedString({len(iceberg)})"
        case _:
            plain = _PLAIN[type(iceberg)]
    return f"Nullable({plain})" if nullable else plain


def _element(field: NestedField) -> str:
    return f"{quote_name(field.name)} {_type(field.field_type, nullable=not field.required)}"
