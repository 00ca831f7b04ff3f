"""What other programs make of ClickHouse's types: measured where they run here, else as their own sources say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MEASURED = Path(__file__).resolve().parents[2] / "docs" / "reference" / "types-peers.json"
"""What `make bench-types` found."""

_INTRODUCTION = """
## What other programs do

{clickhouse} and
{jdbc} are measured here:
`make bench-types` lets each write a table with a type's ordinary and extreme values, and PyIceberg {pyiceberg} reads
what arrived, which is compared value by value with the source ([types-peers.json](types-peers.json)). *Lossy* names the
first value that is another one, "unreadable" is a table that PyIceberg can't read. ClickHouse's engine needs
`write_full_path_in_iceberg_metadata`: without it, the paths in its metadata lead other readers nowhere.

The other two could not be run here (the registry that this project builds from does not serve their artifacts); their
columns say what their own sources say, and are no measurement:

* ClickHouse's Spark connector: `SchemaUtils.scala` and `ClickHouseBinaryReader.scala` of spark-4.0 in
  ClickHouse/spark-clickhouse-connector at 45cba62 (0.10.0-SNAPSHOT). Spark's Iceberg writer has no type for intervals,
  and variants only in format version 3.
* SeaTunnel: `docs/en/connectors/source/Clickhouse.md` in apache/seatunnel at 07cd400, and, for types that the page does
  not name, `TypeConvertUtil.java` of its connector at 15431c9 (2.3.9-SNAPSHOT).
"""

_NO_TYPE = "error: no type"
_NOT_STATED = "not stated"

_EXACT_IN_SPARK = {
    "Int8": "int", "Int16": "int", "Int32": "int", "Int64": "long", "UInt8": "int", "UInt16": "int", "UInt32": "long",
    "UInt64": "decimal(20, 0)", "Bool": "boolean", "Float32": "float", "Float64": "double", "UUID": "string",
    "Decimal(38, 10)": "decimal(38, 10)", "String": "string", "Enum8('a' = 1)": "string", "Enum16('a' = 1)": "string",
    "Date": "date", "Date32": "date", "DateTime": "timestamptz", "DateTime64(6)": "timestamptz", "IPv4": "string",
    "IPv6": "string", "Nullable(Int32)": "int", "LowCardinality(String)": "string", "Array(Int32)": "list<int>",
    "Map(String, Int64)": "map<string, long>", "Tuple(a Int32, b String)": "struct", "Tuple(Int32, String)": "struct",
}  # fmt: skip
_SPARK_CONNECTOR: Mapping[str, str] = {
    **{example: f"exact, `{type_}`" for example, type_ in _EXACT_IN_SPARK.items()},
    **dict.fromkeys(("Int128", "Int256", "UInt128", "UInt256"), "`decimal(38, 0)`: not of more digits"),
    "FixedString(16)": "lossy, `binary` (or `string`): by way of text",
    "DateTime64(9)": "lossy, `timestamptz`: the digits after the sixth",
    "IntervalDay": "error: no type in Iceberg",
    "JSON": "`variant` (version 3), or `string`",
    "Variant(String, UInt8)": "`variant` (version 3)",
    "String of other bytes": "lossy, `string`: by way of text",
}

_SEATUNNEL: Mapping[str, str] = {
    **dict.fromkeys(("Int8", "Int16", "Int32", "UInt8", "UInt16"), "exact, INT"),
    "Int64": "exact, BIGINT",
    "UInt64": "BIGINT: not above 2⁶³ - 1",
    **dict.fromkeys(("Int128", "Int256", "UInt128", "UInt256"), "exact as text, STRING"),
    "Float32": "exact, FLOAT",
    "Float64": "exact, DOUBLE",
    "Decimal(38, 10)": "exact, DECIMAL",
    "String": "exact, STRING",
    "Date": "exact, DATE",
    "DateTime": "documented as TIME, read as a timestamp",
    **dict.fromkeys(("UUID", "IPv4", "IPv6"), "exact as text, STRING"),
    "IntervalDay": "exact, BIGINT",
    **dict.fromkeys(("Point", "Ring", "Polygon", "MultiPolygon"), "as text, STRING"),
    "Array(Int32)": "exact, ARRAY; none of decimals, times or arrays",
    "Map(String, Int64)": "exact, MAP",
    **dict.fromkeys(("Tuple(a Int32, b String)", "Tuple(Int32, String)"), _NO_TYPE),
}


def render(examples: tuple[str, ...], measured: Path = MEASURED) -> Iterator[str]:
    """Yield the part of the page about other programs, for one type of each family."""
    document: Mapping[str, Any] = json.loads(measured.read_text(encoding="utf-8"))
    versions, peers = document["versions"], document["peers"]
    clickhouse = f"ClickHouse {'.'.join(versions['clickhouse'].split('.')[:2])}'s Iceberg engine"
    jdbc = (
        f"Spark {versions['spark']}'s JDBC source (clickhouse-jdbc {versions['clickhouse-jdbc']},"
        f" Iceberg {versions['iceberg']})"
    )
    yield _INTRODUCTION.strip().format(clickhouse=clickhouse, jdbc=jdbc, pyiceberg=versions["pyiceberg"])
    yield ""
    yield "| ClickHouse | its Iceberg engine | Spark's JDBC source | Spark connector (source) | SeaTunnel (source) |"
    yield "|---|---|---|---|---|"
    for example in (*examples, *(other for other in peers["clickhouse"] if other not in examples)):
        if example in peers["clickhouse"]:
            cells = [_cell(peers[peer][example]) for peer in ("clickhouse", "spark-jdbc")]
            cells += [_SPARK_CONNECTOR.get(example, _NO_TYPE), _SEATUNNEL.get(example, _NOT_STATED)]
            yield f"| `{example}` | {' | '.join(cells)} |"


def _cell(found: Mapping[str, str]) -> str:
    verdict = found["verdict"]
    became = f", `{found['iceberg']}`" if "iceberg" in found else ""
    note = "".join(character if character.isprintable() else "␀" for character in found.get("note", ""))
    return f"{verdict}{became}{f': {note}' if note else ''}".replace("|", "\\|")
