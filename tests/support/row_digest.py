"""The digest of rows in Python, written from docs/reference/digest.md and from nothing else of icehaul."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from decimal import Decimal
from functools import reduce
from typing import Any

import pyarrow as pa
from clickhouse_cityhash.cityhash import CityHash64

_MASK = (1 << 64) - 1
_DECIMALS = ((9, 4), (18, 8), (38, 16))


def digest_of(table: pa.Table) -> int:
    """Return the digest of all rows of a data file."""
    return sum(row_hash(table.schema, row) for row in table.to_pylist(maps_as_pydicts=None)) & _MASK


def row_hash(schema: pa.Schema, row: dict[str, Any]) -> int:
    """Return the hash of one row, by its column's values."""
    return reduce(_combine, (part for field in schema for part in _column(field.type, row[field.name], field.nullable)))


def _column(kind: pa.DataType, value: object, nullable: bool) -> Iterator[int]:
    yield from _parts(kind, value, nullable)
    if _has_text(kind):
        yield _number(0, 1)


def _parts(kind: pa.DataType, value: Any, nullable: bool) -> Iterator[int]:
    """Yield the hashes that a value enters the row's hash with."""
    if pa.types.is_struct(kind):
        for field in kind:
            yield from _parts(field.type, value[field.name], field.nullable)
    elif pa.types.is_map(kind):
        yield from _array(kind.key_type, [key for key, _ in value], nullable=False)
        yield from _array(kind.item_type, [item for _, item in value], nullable=kind.item_field.nullable)
    elif pa.types.is_list(kind):
        yield from _array(kind.value_type, value, nullable=kind.value_field.nullable)
    elif nullable:
        yield _number(value is None, 1)
        yield _scalar(kind, _default(kind) if value is None else value)
    else:
        yield _scalar(kind, value)


def _array(kind: pa.DataType, values: list[Any], *, nullable: bool) -> Iterator[int]:
    """Yield the hash of how many elements there are, then one for each of them."""
    yield _number(len(values), 8)
    for value in values:
        if nullable or pa.types.is_nested(kind):
            yield _number(reduce(_combine, _parts(kind, value, nullable)), 8)
        else:
            yield _scalar(kind, value)


def _scalar(kind: pa.DataType, value: Any) -> int:
    if pa.types.is_decimal(kind):
        size = next(size for digits, size in _DECIMALS if kind.precision <= digits)
        unscaled = int(Decimal(value).scaleb(kind.scale))
        return _bytes(unscaled.to_bytes(size, "little", signed=True))
    if pa.types.is_timestamp(kind):
        return _bytes(struct.pack("<q", pa.scalar(value, kind).cast(pa.int64()).as_py()))
    if pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _bytes(value.encode() if isinstance(value, str) else value)
    if pa.types.is_floating(kind):
        size = kind.bit_width // 8
        return _number(int.from_bytes(struct.pack("<f" if size == 4 else "<d", value), "little"), size)
    if pa.types.is_date32(kind):
        return _number(pa.scalar(value, kind).cast(pa.int32()).as_py(), 4)
    return _number(int(value), 1 if pa.types.is_boolean(kind) else kind.bit_width // 8)


def _default(kind: pa.DataType) -> object:
    if pa.types.is_string(kind):
        return ""
    if pa.types.is_binary(kind):
        return b""
    if pa.types.is_fixed_size_binary(kind):
        return bytes(kind.byte_width)
    return pa.scalar(0, pa.int64()).cast(kind).as_py() if pa.types.is_timestamp(kind) else 0


def _has_text(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return any(_has_text(kind.field(number).type) for number in range(kind.num_fields))
    return bool(pa.types.is_string(kind))


def _bytes(content: bytes) -> int:
    """Return the hash of bytes: CityHash64 of CityHash 1.0.2."""
    return int(CityHash64(content))


def _number(value: int, size: int) -> int:
    """Return the hash of a number of ``size`` bytes: the finalizer of MurmurHash3, after an exclusive or."""
    mixed = (value & ((1 << 8 * size) - 1)) ^ 0x4CF2D2BAAE6DA887
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed = ((mixed ^ mixed >> 33) * factor) & _MASK
    return mixed ^ mixed >> 33


def _combine(until_now: int, part: int) -> int:
    """Return the hash of two hashes: Hash128to64 of CityHash."""
    factor = 0x9DDFEA08EB382D69
    mixed = ((until_now ^ part) * factor) & _MASK
    mixed ^= mixed >> 47
    mixed = ((part ^ mixed) * factor) & _MASK
    mixed ^= mixed >> 47
    return (mixed * factor) & _MASK
