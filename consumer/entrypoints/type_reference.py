"""What the reference of types says: every type, what it becomes, and the choices where there is one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from consumer.domain.clickhouse_type import parse_type
from consumer.domain.errors import UnsupportedTypeError
from consumer.domain.mapping import SourceColumn
from consumer.domain.type_choices import choices
from consumer.domain.type_mapping import map_table
from consumer.entrypoints import peer_reference

EXAMPLES = (
    "Int8", "Int16", "Int32", "Int64", "Int128", "Int256", "UInt8", "UInt16", "UInt32", "UInt64", "UInt128", "UInt256",
    "Bool", "BFloat16", "Float32", "Float64", "Decimal(38, 10)", "Decimal(76, 10)", "String", "FixedString(16)", "UUID",
    "Enum8('a' = 1)", "Enum16('a' = 1)", "Date", "Date32", "DateTime", "DateTime64(6)", "DateTime64(9)", "Time",
    "Time64(3)", "IntervalDay", "IPv4", "IPv6", "Nullable(Int32)", "LowCardinality(String)", "Array(Int32)",
    "Map(String, Int64)", "Tuple(a Int32, b String)", "Tuple(Int32, String)", "Nested(a Int32)", "Point", "Ring",
    "LineString", "MultiPoint", "Polygon", "MultiLineString", "MultiPolygon", "Geometry", "QBit(Float32, 8)",
    "SimpleAggregateFunction(max, Int64)", "AggregateFunction(sum, UInt64)", "JSON", "Variant(String, UInt8)",
    "Dynamic", "Nothing",
)  # fmt: skip
"""One type of each family, in the order of the page."""

_FIELD_ID = re.compile(r"\d+: required ")

_INTRODUCTION = """
A column becomes the Iceberg type that holds each of its values exactly. Where there is none, the stream is refused
before the first row, and the message names the choices; `columns` of the stream takes one:

```yaml
streams:
  - name: payments
    source: shop.payments
    target: bronze.payments
    timestamp_column: created_at
    columns: {amount: decimal, receipt: binary, created_ns: nanos}
```

A choice counts for every part of its column that leaves one: `binary` for `Map(String, Array(String))` means keys and
values. What is chosen is fixed once the target exists: another choice is another schema.

Text is UTF-8 in Iceberg and any bytes in ClickHouse: a `String` with other bytes halts the stream, unless it becomes
`binary`. Times are instants in UTC; a column's type and time zone are kept in the description of the target column.
NaN, infinities and the sign of zero stay what they are. A value that a choice can't hold (a decimal of 39 digits) halts
the stream with what ClickHouse says about it; none is rounded or wrapped.

[A view over both tiers](../how-to/query-both-tiers.md) shows the source's types again.

Every value below, and every choice, is written by both writers and compared with its source by full-row digests in
`tests/integration/test_digest_round_trip.py` and `tests/integration/test_export.py`; `make round-trip` does so with
random tables of every type in every other, millions of rows of `generateRandom` with the ends of each range among them.
Its last runs (seed 20261126, in parts) wrote 501 tables with 56,953,256 rows by each writer: none was unequal, and
three more were refused before their first row. Two types in others, which had halted their streams for no reason, were
found on the way, and are mended.
"""

_ENDING = """
`Nullable` makes a column optional, as do types that hold NULL by themselves (`Variant`, `Dynamic`, `Geometry`).
`LowCardinality` and `SimpleAggregateFunction` become what is inside. `Nullable(Tuple(…))`, maps whose keys may be NULL,
tuples without elements, and columns or elements with names other than ASCII letters, digits and `_` are refused.

The time column is a `Date`, `Date32`, `DateTime` or `DateTime64` of at most six digits.
"""

_VERSIONS = """
## Format version 3

Targets have format version 2. Version 3 would hold `DateTime64(9)` as `timestamptz_ns`, and `JSON`, `Variant` and
`Dynamic` perhaps as `variant`; `format_version: 3` is refused, as is an existing table of that version, because not all
that would have to carry it do:

| | version 3 | `timestamptz_ns` | `variant` |
|---|---|---|---|
| PyIceberg 0.12 | read, not written | known | a table with one can't be read |
| Spark 4.1 with Iceberg 1.12 | read and written | neither read nor written | read and written |
| ClickHouse 26.9 | read | known, as `DateTime64(9, 'UTC')` | a table with one can't be read |

(PyIceberg: `NotImplementedError: Writing V3 is not yet supported`, `Unsupported field type: 'variant'`. Spark: `Cannot
convert unsupported type to Spark: timestamptz_ns`. ClickHouse: `Unknown Iceberg type: variant`. *Known* is said of an
empty table: none of them writes one with rows.)

A new snapshot of version 3 also gives each row an identity (`first-row-id`, `next-row-id`), which the library that
commits has to count. `tests/integration/test_format_version.py` fails once PyIceberg writes version 3
([decision](../adr/0036-targets-have-format-version-2.md)).
"""


def render() -> str:
    """Return the page below its title."""
    peers = peer_reference.render(EXAMPLES)
    parts = (_exact(), _chosen(), [_ENDING.strip()], [_VERSIONS.strip()], peers)
    return "\n".join([_INTRODUCTION.strip(), *(line for part in parts for line in ("", *part)), ""])


def _exact() -> Iterator[str]:
    yield "## What types become\n"
    yield "| ClickHouse | Iceberg | choices |\n|---|---|---|"
    for example in EXAMPLES:
        offered = ", ".join(f"`{one}`" for one in choices(parse_type(example)))
        yield f"| `{example}` | {_becomes(example)} | {offered} |"


def _becomes(example: str) -> str:
    time = SourceColumn(name="ts", type="DateTime")
    try:
        mapping = map_table([time, SourceColumn(name="c", type=example)], timestamp_column="ts")
    except UnsupportedTypeError:
        return "refused"
    column = mapping.columns[1]
    text = _FIELD_ID.sub("", str(column.iceberg_type))
    return f"`{text}`" if column.required else f"`{text}`, optional"


def _chosen() -> Iterator[str]:
    yield "## Choices\n"
    yield "| ClickHouse | `columns` | Iceberg | what it loses |\n|---|---|---|---|"
    for example in EXAMPLES:
        for name, choice in choices(parse_type(example)).items():
            yield f"| `{example}` | `{name}` | `{choice.iceberg_type}` | {choice.loses} |"
