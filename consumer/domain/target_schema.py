"""Comparing the columns of an existing target table with what its stream expects."""

from __future__ import annotations

from pyiceberg.schema import Schema
from pyiceberg.types import IcebergType, ListType, MapType, NestedField, StructType

from consumer.domain.errors import TargetMismatchError
from consumer.domain.stream import Stream


def check_columns(stream: Stream, expected: Schema, actual: Schema) -> None:
    """Compare names, types and required-ness; the order of columns does not matter, for files carry field ids.

    Raises:
        TargetMismatchError: naming the first difference, what is there, what is expected, and what to do.
    """
    difference = _struct_difference("", StructType(*expected.fields), StructType(*actual.fields))
    if difference is not None:
        raise mismatch(stream, *difference)


def mismatch(stream: Stream, field: str, actual: str, expected: str) -> TargetMismatchError:
    """Return the error for a target whose ``field`` is not what the stream expects."""
    return TargetMismatchError(
        f"stream {stream.name}: the target {stream.target} differs from the stream at {field}:"
        f" it is {actual}, expected is {expected}",
        remedy=f"change the table with the engine that owns it so that {field} is {expected}, or change the stream,"
        " or give the stream a new target",
    )


_Difference = tuple[str, str, str]
"""Field path, what is there, what is expected."""


def _struct_difference(path: str, expected: StructType, actual: StructType) -> _Difference | None:
    there = {field.name: field for field in actual.fields}
    for field in expected.fields:
        name = f"{path}{field.name}"
        if field.name not in there:
            return name, "missing", _describe_field(field)
        difference = _field_difference(name, field, there.pop(field.name))
        if difference is not None:
            return difference
    for field in there.values():
        return f"{path}{field.name}", _describe_field(field), "no such column"
    return None


def _field_difference(name: str, expected: NestedField, actual: NestedField) -> _Difference | None:
    if expected.required != actual.required:
        return name, _describe_field(actual), _describe_field(expected)
    return _type_difference(name, expected.field_type, actual.field_type)


def _type_difference(name: str, expected: IcebergType, actual: IcebergType) -> _Difference | None:
    match expected, actual:
        case StructType(), StructType():
            return _struct_difference(f"{name}.", expected, actual)
        case ListType(), ListType():
            return _field_difference(f"{name}.element", expected.element_field, actual.element_field)
        case MapType(), MapType():
            return _field_difference(f"{name}.key", expected.key_field, actual.key_field) or _field_difference(
                f"{name}.value", expected.value_field, actual.value_field
            )
        case _:
            return None if expected == actual else (name, str(actual), str(expected))


def _describe_field(field: NestedField) -> str:
    return f"{'required' if field.required else 'optional'} {field.field_type}"
