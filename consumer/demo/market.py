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

from consumer.domain.duration import format_duration

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
_LATE_SYMBOL = "ETHUSDT"


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


class Market:
    """The ten tables in a database of their own."""

    def __init__(self, client: Client, database: str = DATABASE) -> None:
        self._client = client
        self._database = database

    def create_tables(self) -> None:
        """Create the database with its ten tables and the view that derives silver from bronze."""
        for block in _sql("tables.sql").split("-- block")[1:]:
            self._client.command(block.format(database=self._database))
        for table in BARS:
            self._client.command(_sql("gold_table.sql").format(database=self._database, table=table))

    def load_captures(self) -> int:
        """Insert the captured rows, each file in one insert, derive the gold bars, and return the row count."""
        rows = 0
        for capture in CAPTURES:
            block = list(read_capture(capture))
            self._client.insert(f"{self._database}.{capture.table}", block, column_names=list(capture.columns))
            rows += len(block)
        self._derive_day(CAPTURES[0].day)
        return rows

    def repeat_captures(self, *, days: int, copies: Mapping[str, int]) -> None:
        """Insert the captured rows of each table once more, ``days`` later, ``copies`` times, and derive the bars.

        All copies of a day fall into that day; sequence numbers stay unique.
        """
        for capture in CAPTURES:
            self._client.command(
                _sql("repeat_day.sql").format(
                    database=self._database,
                    table=capture.table,
                    days=days,
                    copies=copies[capture.table],
                    spread=60,
                    captured=capture.day,
                )
            )
        self._derive_day(CAPTURES[0].day + timedelta(days=days))

    def trade_late(self) -> Sequence[str]:
        """Insert a trade into a day that was captured, with the bars that follow from it; return the tables changed."""
        trades, day = CAPTURES[0].table, CAPTURES[0].day
        self._client.command(_sql("late_trade.sql").format(database=self._database, symbol=_LATE_SYMBOL, captured=day))
        self._derive_day(day, _LATE_SYMBOL)
        return (trades, SILVER, *BARS)

    def derive(self, table: str, lower: datetime, upper: datetime, symbols: str = "%") -> None:
        """Let ClickHouse compute the bars of one gold table from the trades of a stretch of whole bars.

        ``symbols`` is a pattern of SQL's LIKE.
        """
        self._client.command(
            _sql("gold_derive.sql").format(
                database=self._database,
                table=table,
                minutes=BARS[table] // timedelta(minutes=1),
                lower=f"toDateTime64('{lower:%F %T}', 6, 'UTC')",
                upper=f"toDateTime64('{upper:%F %T}', 6, 'UTC')",
                symbols=symbols,
            )
        )

    def count(self, table: str) -> int:
        """Return how many rows a table holds."""
        return int(self._client.query(f"SELECT count() FROM {self._database}.{table}").result_rows[0][0])

    def _derive_day(self, day: date, symbols: str = "%") -> None:
        lower = datetime(day.year, day.month, day.day, tzinfo=UTC)
        for table in BARS:
            self.derive(table, lower, lower + timedelta(days=1), symbols)


def stream_settings(table: str, *, database: str = DATABASE, settle_lag: timedelta) -> dict[str, Any]:
    """Return the settings of the stream that offloads one of the ten tables."""
    settings: dict[str, Any] = {
        "name": table,
        "source": f"{database}.{table}",
        "target": f"{database}.{table}",
        "layer": table.split("_", maxsplit=1)[0],
        "settle_lag": format_duration(settle_lag),
    }
    if table in BARS:
        return settings | {
            "timestamp_column": "bar_start",
            "sequence_columns": ["exchange", "symbol"],
            "row_span": format_duration(BARS[table]),
            "upstreams": [SILVER],
        }
    settings |= {"timestamp_column": "exchange_timestamp", "sequence_columns": ["sequence_number"]}
    if table == SILVER:
        return settings | {"upstreams": [CAPTURES[0].table]}
    if table == "bronze_book_kraken":
        # Its snapshots reach back years: one file for each year, and all of them in one batch.
        return settings | {"partition_by": "year", "batch": {"window": "3650d"}}
    return settings


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
