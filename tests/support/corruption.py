"""Files that hold other rows than were read: one value, one row, one exchange at a time."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = """
    ts DateTime64(6, 'UTC'), seq UInt64, bought Int64, sold Int64, price Decimal(18, 8), ratio Float64,
    symbol LowCardinality(String), note Nullable(String), counted Nullable(Int64), paid Nullable(Decimal(18, 4)),
    settled Nullable(DateTime64(6, 'UTC')), id UUID, tags Array(String), attributes Map(String, String),
    pair Tuple(a Int32, b Nullable(String))
"""
"""A table with the types that differ in how they are stored, and in how they enter the digest."""

VALUES = """
    number, number + 100, number + 200, toDecimal64(number, 8) / 7, number / 3, ['BTC', 'ETH'][number % 2 + 1],
    if(number % 2 = 0, NULL, toString(number)), if(number % 2 = 0, NULL, number),
    if(number % 2 = 0, NULL, toDecimal64(number, 4)), if(number % 2 = 0, NULL, toDateTime64(number, 6, 'UTC')),
    reinterpretAsUUID(toFixedString(leftPad(toString(number), 16, 'x'), 16)), [toString(number), 'b'],
    map('k', toString(number)), (number, NULL)
"""
"""What stands in those columns after the first, of the row with a number; every second row has NULLs."""


@dataclass(frozen=True)
class Corruption:
    """What happens to a file's rows.

    ``missing`` and ``surplus`` are how many rows are in the hot tier, and in the cold tier, only because of it.
    """

    name: str
    do: Callable[[pa.Table], pa.Table]
    missing: int = 1
    surplus: int = 1

    def __str__(self) -> str:
        return self.name

    def apply(self, content: bytes) -> bytes:
        """Return the content of the file with it."""
        sink = io.BytesIO()
        table = pq.read_table(io.BytesIO(content), arrow_extensions_enabled=False)
        changed = self.do(table)
        assert not changed.equals(table)
        pq.write_table(changed, sink, compression="zstd", store_schema=False)
        return sink.getvalue()


def _with(table: pa.Table, column: str, change: Callable[[list[Any]], None]) -> pa.Table:
    position = table.schema.get_field_index(column)
    field = table.schema.field(position)
    values = table[column].to_pylist()
    change(values)
    return table.set_column(position, field, pa.array(values, field.type))


def _value(column: str, change: Callable[[Any], Any], row: int = 1) -> Callable[[pa.Table], pa.Table]:
    def do(values: list[Any]) -> None:
        values[row] = change(values[row])

    return lambda table: _with(table, column, do)


def _flipped_float(value: float) -> float:
    (bits,) = struct.unpack("<q", struct.pack("<d", value))
    (flipped,) = struct.unpack("<d", struct.pack("<q", bits ^ 1))
    return float(flipped)


def _flipped_text(text: str) -> str:
    return chr(ord(text[0]) ^ 1) + text[1:]


def _no_text_any_more(table: pa.Table) -> pa.Table:
    """The highest bit of a letter is set: bytes that are not UTF-8."""
    position = table.schema.get_field_index("symbol")
    values = [value.encode() for value in table["symbol"].to_pylist()]
    values[1] = bytes([values[1][0] | 0x80, *values[1][1:]])
    return table.set_column(position, table.schema.field(position), pa.array(values, pa.binary()).view(pa.string()))


def _columns_exchanged(table: pa.Table) -> pa.Table:
    """The values of two columns of one row change places."""
    bought, sold = table["bought"][1].as_py(), table["sold"][1].as_py()
    return _value("sold", lambda _: bought)(_value("bought", lambda _: sold)(table))


def _rows_exchanged(column: str) -> Callable[[pa.Table], pa.Table]:
    """The values of one column in two rows change places."""

    def do(values: list[Any]) -> None:
        values[0], values[1] = values[1], values[0]

    return lambda table: _with(table, column, do)


def _null_to(column: str, default: object) -> Corruption:
    return Corruption(f"NULL of {column} turned into its default", _value(column, lambda _: default, row=0))


FLIPS: Sequence[Corruption] = [
    Corruption(f"a flipped bit in {column}", _value(column, change))
    for column, change in (
        ("bought", lambda value: value ^ 1 << 40),
        ("price", lambda value: value + type(value)("0.00000001")),
        ("ratio", _flipped_float),
        ("symbol", _flipped_text),
        ("note", _flipped_text),
        ("settled", lambda value: value.replace(microsecond=value.microsecond ^ 1)),
        ("ts", lambda value: value.replace(microsecond=value.microsecond ^ 1)),
        ("id", lambda value: bytes([value[0] ^ 1, *value[1:]])),
        ("tags", lambda value: [value[0], _flipped_text(value[1])]),
        ("attributes", lambda value: [(key, _flipped_text(text)) for key, text in value]),
        ("pair", lambda value: {**value, "a": value["a"] ^ 1}),
    )
]
CORRUPTIONS: Sequence[Corruption] = [
    *FLIPS,
    Corruption("a flipped bit that leaves no text", _no_text_any_more),
    Corruption("a lost row", lambda table: table.slice(1), surplus=0),
    Corruption("a doubled row", lambda table: pa.concat_tables([table, table.slice(0, 1)]), missing=0),
    Corruption("a lost row and a doubled one", lambda table: pa.concat_tables([table.slice(1), table.slice(1, 1)])),
    Corruption("two columns exchanged", _columns_exchanged),
    Corruption("numbers of two rows exchanged", _rows_exchanged("sold"), missing=2, surplus=2),
    Corruption("texts of two rows exchanged", _rows_exchanged("note"), missing=2, surplus=2),
    _null_to("note", ""),
    _null_to("counted", 0),
    _null_to("paid", 0),
    _null_to("settled", 0),
    Corruption("NULL of a tuple turned into its default", _value("pair", lambda value: {**value, "b": ""}, row=0)),
]
