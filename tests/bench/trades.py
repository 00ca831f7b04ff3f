"""Generated trades in the hot tier, and the queries that the compared paths read them with."""

from __future__ import annotations

from importlib.resources import files

from tests.support.platform import Platform

DAY = "2024-01-01"
TABLE = "trades"
COLUMNS = """
    ts DateTime64(6, 'UTC'), seq UInt64, symbol LowCardinality(String), exchange LowCardinality(String),
    side Enum8('buy' = 1, 'sell' = 2), price Decimal(18, 8), quantity Decimal(18, 8), order_id String,
    note Nullable(String), tags Array(String), attributes Map(String, String)
"""
SCALARS = """toInt64(seq) AS seq, toString(symbol) AS symbol, toString(exchange) AS exchange,
    toString(side) AS side, price, quantity, order_id, note"""
"""The columns that every engine can take, as types that every engine knows; ``ts`` stands before them."""
NESTED = "tags, attributes"


def fill(platform: Platform, rows: int, *, day: str = DAY, merged: bool = True) -> int:
    """Insert ``rows`` trades of one day in order, into one part if ``merged``; return the bytes of all, unpacked."""
    query = files("tests.bench").joinpath("trades.sql").read_text(encoding="utf-8")
    platform.client.command(f"INSERT INTO {platform.name}.{TABLE} {query}", parameters={"rows": rows, "day": day})
    if merged:
        platform.client.command(f"OPTIMIZE TABLE {platform.name}.{TABLE} FINAL")
    size = platform.client.query(
        "SELECT sum(data_uncompressed_bytes) FROM system.parts WHERE active AND database = {database:String}"
        " AND table = {table:String}",
        parameters={"database": platform.name, "table": TABLE},
    )
    return int(size.result_rows[0][0])
