"""Values of every type for the comparison with peers: ordinary ones and the ends of each range, as SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from consumer.domain.clickhouse_sql import quote_text

OTHER_BYTES = "String of other bytes"
"""The row of the table that shows what becomes of text that is not UTF-8."""


def _whole(signed: bool, bits: int) -> Sequence[str]:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return [f"'{number}'" for number in (1, low, high)]


_FLOATS = ("'1.5'", "'nan'", "'inf'", "'-inf'", "'-0'")
_POINT = "(1.5, -0.25)"
_RING = "[(0, 0), (1, 0), (1, 1)]"

VALUES: Mapping[str, Sequence[str]] = {
    **{f"Int{bits}": _whole(True, bits) for bits in (8, 16, 32, 64, 128, 256)},
    **{f"UInt{bits}": _whole(False, bits) for bits in (8, 16, 32, 64, 128, 256)},
    "Bool": ("'true'", "'false'"),
    "BFloat16": _FLOATS,
    "Float32": (*_FLOATS, "'1e-45'"),
    "Float64": (*_FLOATS, "'5e-324'"),
    "Decimal(38, 10)": ("'1.5'", f"'{'9' * 28}.{'9' * 10}'", f"'-{'9' * 28}.{'9' * 10}'"),
    "Decimal(76, 10)": ("'1.5'", f"'{'9' * 66}.{'9' * 10}'"),
    "String": ("'ice'", "''", "'🧊 a\\0b'"),
    OTHER_BYTES: ("unhex('C328')",),
    "FixedString(16)": ("'ice'", "unhex('FF000000000000000000000000000000')"),
    "UUID": ("'61f0c404-5cb3-11e7-907b-a6006ad3dba0'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"),
    "Enum8('a' = 1)": ("'a'",),
    "Enum16('a' = 1)": ("'a'",),
    "Date": ("'2024-02-29'", "'1970-01-01'", "'2149-06-06'"),
    "Date32": ("'2024-02-29'", "'1900-01-01'", "'2299-12-31'"),
    "DateTime": ("'2024-02-29 12:00:00'", "toDateTime(0)", "toDateTime(4294967295)"),
    "DateTime64(6)": (
        "'2024-02-29 12:00:00.123456'",
        "toDateTime64('1900-01-01 00:00:00', 6, 'UTC')",
        "toDateTime64('2299-12-31 23:59:59.999999', 6, 'UTC')",
    ),
    "DateTime64(9)": ("'2024-02-29 12:00:00.123456789'", "toDateTime64('1900-01-01 00:00:00', 9, 'UTC')"),
    "Time": ("3661", "3599999", "-3599999"),
    "Time64(3)": ("toDecimal64('3661.5', 3)", "toDecimal64('-3599999.999', 3)"),
    "IntervalDay": ("toInt64(3)", "toInt64('-9223372036854775808')"),
    "IPv4": ("'1.2.3.4'", "'255.255.255.255'"),
    "IPv6": ("'fe80::1'", "'::ffff:1.2.3.4'"),
    "Nullable(Int32)": ("NULL", "7"),
    "LowCardinality(String)": ("'ice'", "''"),
    "Array(Int32)": ("[1, 2]", "[]"),
    "Map(String, Int64)": ("map('a', 1, 'b', 2)", "map()"),
    "Tuple(a Int32, b String)": ("(1, 'x')",),
    "Tuple(Int32, String)": ("(1, 'x')",),
    "Nested(a Int32)": ("[tuple(1), tuple(2)]", "[]"),
    "Point": (_POINT,),
    "Ring": (_RING,),
    "LineString": (_RING,),
    "MultiPoint": (_RING,),
    "Polygon": (f"[{_RING}]",),
    "MultiLineString": (f"[{_RING}]",),
    "MultiPolygon": (f"[[{_RING}]]",),
    "Geometry": (f"CAST({_POINT} AS Point)", f"CAST({_RING} AS Ring)"),
    "QBit(Float32, 8)": ("[1, 2, 3, 4, 5, 6, 7, 0.5]",),
    "SimpleAggregateFunction(max, Int64)": ("7", "-7"),
    "AggregateFunction(sum, UInt64)": ("initializeAggregation('sumState', toUInt64(7))",),
    "JSON": ('\'{"a": 1, "b": {"c": ["x", null]}}\'', "'{}'"),
    "Variant(String, UInt8)": ("'ice'", "7::UInt8::Variant(String, UInt8)", "NULL"),
    "Dynamic": ("'ice'", "7", "NULL"),
}
"""Values by the example of a type; what stands here is cast to the type."""

_MEANS: Mapping[str, str] = {
    "Time": "toInt32(c)",
    "Time64(3)": "CAST(c AS Decimal(18, 3))",
    "IntervalDay": "toInt64(c)",
    "QBit(Float32, 8)": "CAST(c AS Array(Float32))",
    "AggregateFunction(sum, UInt64)": "unhex(hex(c))",
    "JSON": "toString(c)",
    "Geometry": "toString(c)",
    OTHER_BYTES: "hex(c)",
    "BFloat16": "toFloat32(c)",
    "IPv4": "toString(c)",
    "IPv6": "toString(c)",
    "UUID": "toString(c)",
    "FixedString(16)": "hex(c)",
    **dict.fromkeys(("Date", "Date32"), "toString(c)"),
    **dict.fromkeys(("DateTime", "DateTime64(6)", "DateTime64(9)"), "toString(toTimeZone(c, 'UTC'))"),
}


def column_type(example: str) -> str:
    """Return the type of the column that holds an example's values."""
    return "String" if example == OTHER_BYTES else example


def means(example: str) -> Sequence[str]:
    """Return the expressions over a column ``c`` that say what it holds; what a peer writes has to equal one."""
    own = _MEANS.get(example, "c")
    return (own, f"toString({'hex(c)' if example in {'FixedString(16)', OTHER_BYTES} else 'c'})")


def insert(example: str, table: str) -> str:
    """Return the statement that fills a table of the columns ``id`` and ``c``."""
    type_ = column_type(example)
    rows = " UNION ALL ".join(
        f"SELECT {number}, CAST({value} AS {type_})" for number, value in enumerate(VALUES[example])
    )
    return f"INSERT INTO {table} {rows}"


def quoted(text: str) -> str:
    """Return a text as a literal of ClickHouse."""
    return quote_text(text)
