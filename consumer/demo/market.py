"""The demo's hot tier: captured rows into bronze, ClickHouse derives silver and gold."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.resources import files
from typing import Any

from clickhouse_connect.driver.client import Client

DATABASE = "market"

BARS: Mapping[str, timedelta] = {
    "gold_ohlcv_1m": timedelta(minutes=1),
    "gold_ohlcv_5m": timedelta(minutes=5),
    "gold_ohlcv_15m": timedelta(minutes=15),
    "gold_ohlcv_30m": timedelta(minutes=30),
    "gold_ohlcv_1h": timedelta(hours=1),
    "gold_ohlcv_1d": timedelta(days=1),
}
"""The gold tables and the span of one bar."""

SILVER = "silver_trades"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A bronze table, the file it is loaded from, and the UTC day on which that was captured."""

    table: str
    file: str
    day: date
    columns: Sequence[str]


CAPTURES = (
    Capture(
        table="bronze_trades_binance",
        file="binance_trades_2021-01-08.csv.gz",
        day=date(2021, 1, 8),
        columns=("exchange_timestamp", "sequence_number", "symbol", "price", "quantity", "buyer_maker"),
    ),
    Capture(
        table="bronze_book_coinbase",
        file="coinbase_l2_2021-04-17.csv.gz",
        day=date(2021, 4, 17),
        columns=("exchange_timestamp", "sequence_number", "product", "side", "price", "size", "received_at"),
    ),
    Capture(
        table="bronze_book_kraken",
        file="kraken_book_2021-04-17.csv.gz",
        day=date(2021, 4, 17),
        columns=("exchange_timestamp", "sequence_number", "pair", "side", "price", "volume", "kind", "received_at"),
    ),
)

TABLES = (*(capture.table for capture in CAPTURES), SILVER, *BARS)
"""The ten tables that the demo offloads."""


def create_tables(client: Client) -> None:
    """Create the database with its ten tables and the view that derives silver from bronze."""
    for block in _sql("tables.sql").split("-- block")[1:]:
        client.command(block)
    for table in BARS:
        client.command(_sql("gold_table.sql").format(table=table))


def load_captures(client: Client) -> int:
    """Insert the captured rows, each file in one insert, derive the gold bars, and return the row count."""
    rows = 0
    for capture in CAPTURES:
        block = list(read_capture(capture))
        client.insert(f"{DATABASE}.{capture.table}", block, column_names=list(capture.columns))
        rows += len(block)
    derive_bars(client, CAPTURES[0].day)
    return rows


def repeat_captures(client: Client, *, days: int, copies: Mapping[str, int]) -> None:
    """Insert the captured rows of each table once more, ``days`` later, ``copies`` times, and derive the bars.

    All copies of a day fall into that day; sequence numbers stay unique.
    """
    for capture in CAPTURES:
        client.command(
            _sql("repeat_day.sql").format(
                table=capture.table, days=days, copies=copies[capture.table], spread=60, captured=capture.day
            )
        )
    derive_bars(client, CAPTURES[0].day + timedelta(days=days))


def derive_bars(client: Client, day: date) -> None:
    """Let ClickHouse compute the gold bars of one UTC day from silver."""
    for table, span in BARS.items():
        client.command(
            _sql("gold_derive.sql").format(
                table=table,
                minutes=span // timedelta(minutes=1),
                lower=f"toDateTime64('{day} 00:00:00', 6, 'UTC')",
                upper=f"toDateTime64('{day + timedelta(days=1)} 00:00:00', 6, 'UTC')",
            )
        )


def read_capture(capture: Capture) -> Iterator[Sequence[Any]]:
    """Yield a capture's rows as values in the order of its table's columns."""
    packed = (files("consumer.demo") / "data" / capture.file).read_bytes()
    with io.TextIOWrapper(gzip.GzipFile(fileobj=io.BytesIO(packed)), encoding="utf-8", newline="") as text:
        for record in csv.DictReader(text):
            yield _ROWS[capture.table](record)


def _binance(record: Mapping[str, str]) -> Sequence[Any]:
    return (
        datetime.fromisoformat(record["traded_at"]),
        int(record["trade_id"]),
        record["symbol"],
        Decimal(record["price"]),
        Decimal(record["quantity"]),
        record["buyer_maker"] == "true",
    )


def _coinbase(record: Mapping[str, str]) -> Sequence[Any]:
    return (
        datetime.fromisoformat(record["exchange_time"]),
        int(record["update_id"]),
        record["product"],
        record["side"],
        Decimal(record["price"]),
        Decimal(record["size"]),
        _unix(record["received_at"]),
    )


def _kraken(record: Mapping[str, str]) -> Sequence[Any]:
    return (
        _unix(record["exchange_time"]),
        int(record["update_id"]),
        record["pair"],
        record["side"],
        Decimal(record["price"]),
        Decimal(record["volume"]),
        record["kind"],
        _unix(record["received_at"]),
    )


_ROWS = {
    "bronze_trades_binance": _binance,
    "bronze_book_coinbase": _coinbase,
    "bronze_book_kraken": _kraken,
}


def _unix(text: str) -> datetime:
    """Turn a Unix time with a fraction into an instant, exactly to the microsecond (a float would not be)."""
    whole, _, fraction = text.partition(".")
    return datetime.fromtimestamp(int(whole), tz=UTC) + timedelta(microseconds=int(fraction[:6].ljust(6, "0")))


def _sql(name: str) -> str:
    return (files("consumer.demo") / "sql" / name).read_text(encoding="utf-8")
