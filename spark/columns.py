"""From the columns that ClickHouse sends to the columns of the data file: exactly, or not at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.types import IcebergType, ListType, MapType, StructType

from consumer.domain.errors import SourceUnavailableError, TargetMismatchError, UnsupportedTypeError
from consumer.domain.type_mapping import DIGEST_COLUMN

_MODULUS = 1 << 64


@dataclass(frozen=True, slots=True)
class ColumnCast:
    """Casts record batches to the target's Arrow schema, whose fields carry the Iceberg field ids."""

    schema: pa.Schema

    @classmethod
    def to_iceberg(cls, schema_json: str, source: pa.Schema) -> ColumnCast:
        """Make the cast of the columns that arrive to those of an Iceberg schema given as JSON.

        Optional fields of the table that do not arrive are not in the file either: the source does not have them.

        Raises:
            TargetMismatchError: naming the columns that the table does not have, or that it requires and do not arrive.
        """
        found = arriving(Schema.model_validate_json(schema_json), source)
        schema = schema_to_pyarrow(found)
        return cls(pa.schema([field.with_type(_compact(field.type)) for field in schema]))

    def cast(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the batch's columns as the target's types, without the digest.

        Raises:
            UnsupportedTypeError: naming the column with a value that the target's type can't hold.
        """
        return pa.RecordBatch.from_arrays(
            [_exact(batch.column(field.name), field) for field in self.schema], schema=self.schema
        )


def arriving(schema: Schema, source: pa.Schema) -> Schema:
    """Return the part of a table's schema that arrives, beside the digest; fields of tuples in the order of arrival.

    Raises:
        TargetMismatchError: if a column arrives that the table does not have, or one does not that it requires.
    """
    fields = {field.name: field for field in schema.fields}
    names = [name for name in source.names if name != DIGEST_COLUMN]
    missing = {field.name for field in schema.fields if field.required} - set(names)
    odd = sorted({name for name in names if name not in fields or names.count(name) > 1} | missing)
    if odd or DIGEST_COLUMN not in source.names:
        raise TargetMismatchError(
            f"the reading query and the target table differ in columns {odd or [DIGEST_COLUMN]}",
            remedy="add the column to the target, or drop it from the stream's source",
        )
    return Schema(
        *(
            field.model_copy(update={"field_type": _part(field.field_type, source.field(field.name).type, field.name)})
            for field in schema.fields
            if field.name in names
        )
    )


def _part(type_: IcebergType, source: pa.DataType, name: str) -> IcebergType:
    """Return the part of a type that arrives: structs may have fields that the source does not have."""
    if isinstance(type_, StructType) and pa.types.is_struct(source):
        fields = {field.name: field for field in type_.fields}
        children = _children(source)
        if unknown := [child.name for child in children if child.name not in fields]:
            raise TargetMismatchError(
                f"column {name}: the target has no field {unknown[0]}",
                remedy="add the field to the target, or drop it from the stream's source",
            )
        return StructType(
            *(
                fields[child.name].model_copy(
                    update={"field_type": _part(fields[child.name].field_type, child.type, name)}
                )
                for child in children
            )
        )
    if isinstance(type_, ListType) and pa.types.is_list(source):
        element = _part(type_.element_type, source.value_type, name)
        return ListType(type_.element_id, element, element_required=type_.element_required)
    if isinstance(type_, MapType) and pa.types.is_map(source):
        key, value = _part(type_.key_type, source.key_type, name), _part(type_.value_type, source.item_type, name)
        return MapType(type_.key_id, key, type_.value_id, value, value_required=type_.value_required)
    return type_


def digest_sum(batch: pa.RecordBatch) -> int:
    """Return the sum of the batch's row hashes modulo 2**64.

    Raises:
        SourceUnavailableError: if a row has no hash.
    """
    hashes = batch.column(DIGEST_COLUMN)
    if hashes.null_count or hashes.type != pa.uint64():
        raise SourceUnavailableError(
            f"column {DIGEST_COLUMN} of the reading query has type {hashes.type} and {hashes.null_count} nulls,"
            " where an unsigned 64-bit hash for each row belongs",
            remedy="report this as a defect, with the source table's definition",
        )
    values: NDArray[np.uint64] = hashes.to_numpy(zero_copy_only=False)
    return int(values.sum(dtype=np.uint64)) % _MODULUS


def _compact(type_: pa.DataType) -> pa.DataType:
    """Return the type with 32-bit offsets, as ClickHouse sends text and lists: the same in the file, and no copy."""
    if pa.types.is_large_string(type_):
        return pa.string()
    if pa.types.is_large_binary(type_):
        return pa.binary()
    return _made_of(type_, [field.with_type(_compact(field.type)) for field in _children(type_)])


def _made_of(type_: pa.DataType, children: list[pa.Field]) -> pa.DataType:
    """Return a container of the same kind, with other nested fields; of lists, the one with 32-bit offsets."""
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return pa.list_(*children)
    if pa.types.is_map(type_):
        return pa.map_(*children)
    return pa.struct(children) if pa.types.is_struct(type_) else type_


def _with_bytes(type_: pa.DataType, target: pa.DataType) -> pa.DataType:
    """Return the type of what arrives with bytes in the place of text wherever the target has bytes.

    ClickHouse sends both as text, and what is to become bytes need not be UTF-8.
    """
    if pa.types.is_string(type_):
        return pa.binary() if pa.types.is_binary(target) else type_
    children, wanted = _children(type_), _children(target)
    if type_.id != target.id or len(children) != len(wanted):
        return type_
    pairs = zip(children, wanted, strict=True)
    return _made_of(type_, [field.with_type(_with_bytes(field.type, other.type)) for field, other in pairs])


def _same_layout(one: pa.DataType, other: pa.DataType) -> bool:
    """Tell whether two types differ in nothing but the names and ids of nested fields; then no value has to move."""
    if not one.num_fields:
        return bool(one == other)
    if one.id != other.id or one.num_fields != other.num_fields:
        return False
    return all(
        mine.nullable == theirs.nullable and _same_layout(mine.type, theirs.type)
        for mine, theirs in zip(_children(one), _children(other), strict=True)
    )


def _children(type_: pa.DataType) -> list[pa.Field]:
    """Return the nested fields; of a map its key and its item."""
    if pa.types.is_map(type_):
        return [type_.key_field, type_.item_field]
    return [type_.field(number) for number in range(type_.num_fields)]


def _exact(array: pa.Array, field: pa.Field) -> pa.Array:
    try:
        arrived = _with_bytes(array.type, field.type)
        # Text and bytes lie in memory alike.
        layout = field.type if _same_layout(arrived, field.type) else arrived
        seen = array if layout == array.type else array.view(layout)
        # ClickHouse strings may hold any bytes; the full validation finds those that are not UTF-8.
        seen.validate(full=True)
        cast = seen if seen.type == field.type else seen.cast(field.type, safe=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise UnsupportedTypeError(
            f"column {field.name}: a value of {array.type} is no exact {field.type}: {error}",
            remedy="correct the rows in the source, or leave the column out of the source by a view",
        ) from error
    if cast.null_count and not field.nullable:
        raise UnsupportedTypeError(
            f"column {field.name} holds {cast.null_count} nulls, and is required in the target",
            remedy="make the target's column optional",
        )
    return cast
