"""Rows as text: each column's wire value as people read it, whatever its type."""

from __future__ import annotations

from pyiceberg.types import BinaryType, FixedType, UUIDType

from consumer.domain.clickhouse_sql import quote_name
from consumer.domain.mapping import ColumnMapping, TableMapping


def row_texts(mapping: TableMapping) -> str:
    """Return the ClickHouse expressions of all columns' values as text, comma separated; NULL stays NULL.

    Bytes are written in hexadecimal, as what a column of bytes holds need not be text.
    """
    return ", ".join(f"CAST({_text(column)} AS Nullable(String))" for column in mapping.columns)


def _text(column: ColumnMapping) -> str:
    name = quote_name(column.name)
    match column.iceberg_type:
        case UUIDType():
            return f"UUIDNumToString({name})"
        case BinaryType() | FixedType():
            return f"lower(hex({name}))"
        case _:
            # A damaged file may hold any bytes.
            return f"if(isValidUTF8(ifNull(toString({name}), '')), toString({name}), lower(hex(toString({name}))))"
