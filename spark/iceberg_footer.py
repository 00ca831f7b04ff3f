"""From the footer that ClickHouse writes to the one that Iceberg's readers look for: ids, types and exact bounds."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    ListType,
    MapType,
    NestedField,
    StructType,
    UUIDType,
)
from thrift.Thrift import TType

from consumer.domain.errors import UnsupportedTypeError
from spark.parquet_footer import GREATEST, LEAST, NULLS, STATISTICS, FooterError, Node, ParquetFooter, understood
from spark.thrift_struct import Struct

# SchemaElement
_TYPE, _CONVERTED_TYPE, _FIELD_ID, _LOGICAL_TYPE = 1, 6, 9, 10
# LogicalType
_UUID = 14
# Type
_FIXED = 7
# Statistics: what readers from before 2018 look at, in an order that is not defined for every type
_OLD_GREATEST, _OLD_LEAST = 1, 2


def complete(footer: ParquetFooter, schema: Schema) -> None:
    """Write the schema's field ids to all columns, and what else its types ask for.

    * UUIDs are marked as such: ClickHouse has no such type for 16 fixed bytes.
    * Bytes are no longer marked as text, which they are to ClickHouse.
    * A column that can't be NULL gets its null count, zero, where the writer left that out.
    * A bound that is a zero gets the sign with which it holds both zeros (Parquet format, ``ColumnOrder``).

    Raises:
        FooterError: if a column or a field of one is not in the schema, or one is missing that has to be there.
        UnsupportedTypeError: if a decimal has more digits than its type: ClickHouse's arithmetic may leave such values.
    """
    with understood():
        _complete(footer, schema)


def _complete(footer: ParquetFooter, schema: Schema) -> None:
    top = {node.name: node for node in footer.root.children}
    fields = {field.name: field for field in schema.fields}
    required = {field.name for field in schema.fields if field.required}
    if not required <= top.keys() <= fields.keys() or len(top) != len(footer.root.children):
        raise FooterError(f"its columns are {sorted(top)}")
    types: dict[int, tuple[str, IcebergType]] = {}
    for name, node in top.items():
        _mark(node, fields[name].field_id, fields[name].field_type, name, types)
    for leaf, metadata in footer.columns():
        if STATISTICS in metadata:
            _amend(metadata[STATISTICS][1], leaf, *types[leaf.element[_FIELD_ID][1]])


def _amend(statistics: Struct, leaf: Node, column: str, kind: IcebergType) -> None:
    statistics.pop(_OLD_GREATEST, None)
    statistics.pop(_OLD_LEAST, None)
    if leaf.always:
        statistics.setdefault(NULLS, (TType.I64, 0))
    bounds = {place: statistics[place][1] for place in (LEAST, GREATEST) if place in statistics}
    if isinstance(kind, FloatType | DoubleType):
        layout = "<f" if isinstance(kind, FloatType) else "<d"
        for place, bound in bounds.items():
            if struct.unpack(layout, bound)[0] == 0:
                zero = -0.0 if place == LEAST else 0.0
                statistics[place] = (TType.STRING, struct.pack(layout, zero))
    elif isinstance(kind, DecimalType):
        _check_digits(bounds, leaf, column, kind)


def _check_digits(bounds: Mapping[int, bytes], leaf: Node, column: str, kind: DecimalType) -> None:
    fixed = leaf.element[_TYPE][1] == _FIXED
    for bound in bounds.values():
        unscaled = int.from_bytes(bound, "big" if fixed else "little", signed=True)
        if abs(unscaled) >= 10**kind.precision:
            raise UnsupportedTypeError(
                f"column {column}: the value {unscaled} / 10^{kind.scale} has more digits than {kind}",
                remedy="correct the rows in the source, or leave the column out of the source by a view",
            )


def _mark(node: Node, field_id: int, kind: IcebergType, column: str, types: dict[int, tuple[str, IcebergType]]) -> None:
    """Write the ids of an element and of those below it, and take down which column and type each id belongs to."""
    types[field_id] = (column, kind)
    node.element[_FIELD_ID] = (TType.I32, field_id)
    match kind:
        case ListType():
            (element,) = _below(node, 1)
            _mark(element, kind.element_id, kind.element_type, column, types)
        case MapType():
            key, value = _below(node, 2)
            _mark(key, kind.key_id, kind.key_type, column, types)
            _mark(value, kind.value_id, kind.value_type, column, types)
        case StructType():
            _mark_fields(node, kind.fields, column, types)
        case UUIDType():
            node.element[_LOGICAL_TYPE] = (TType.STRUCT, {_UUID: (TType.STRUCT, {})})
        case BinaryType():
            node.element.pop(_CONVERTED_TYPE, None)
            node.element.pop(_LOGICAL_TYPE, None)
        case _ if node.children:
            raise FooterError(f"column {node.name} is no {kind}")


def _mark_fields(
    node: Node, fields: Sequence[NestedField], column: str, types: dict[int, tuple[str, IcebergType]]
) -> None:
    known = {field.name: field for field in fields}
    for child in node.children:
        field = known.get(child.name)
        if field is None:
            raise FooterError(f"column {node.name} has the field {child.name}, of {len(fields)} others")
        _mark(child, field.field_id, field.field_type, column, types)


def _below(node: Node, count: int) -> Sequence[Node]:
    """Return what a list or a map repeats: Parquet has one repeated group in between."""
    if len(node.children) != 1 or len(node.children[0].children) != count:
        raise FooterError(f"column {node.name} is no list or map in three levels")
    return node.children[0].children
