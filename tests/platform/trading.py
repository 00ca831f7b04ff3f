"""Generated trading: three bronze tables fed for a stretch of time, silver and gold derived by ClickHouse."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.resources import files

from clickhouse_connect.driver.client import Client

from consumer.demo.market import BARS, Market
from consumer.domain.time_type import to_micros
from consumer.domain.window import MICROSECOND

TRADES, COINBASE, KRAKEN = "bronze_trades_binance", "bronze_book_coinbase", "bronze_book_kraken"
CYCLE = timedelta(minutes=15)
_ROWS_PER_SYMBOL = 10_000
_SYMBOLS_MAX = 200


@dataclass
class Trading:
    """Feeds the ten tables of one database."""

    client: Client
    database: str
    market: Market = field(init=False)
    _sequence: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.market = Market(self.client, self.database)

    def trade(self, lower: datetime, rows: int) -> None:
        """Insert the rows of one cycle: ``rows`` over the tables, the bars that end with it included."""
        upper = lower + CYCLE
        symbols = max(2, min(_SYMBOLS_MAX, rows // _ROWS_PER_SYMBOL))
        closing = {table: span for table, span in BARS.items() if is_boundary(upper, span)}
        bars = symbols * sum(max(CYCLE // span, 1) for span in closing.values())
        # Each trade is a row of bronze and one of silver.
        trades = rows // 4
        books = rows - 2 * trades - bars
        self.feed(TRADES, lower, upper, trades, symbols)
        self.feed(COINBASE, lower, upper, books // 2, symbols)
        self.feed(KRAKEN, lower, upper, books - books // 2, symbols)
        for table, span in closing.items():
            self.market.derive(table, upper - max(span, CYCLE), upper)

    def feed(self, table: str, lower: datetime, upper: datetime, rows: int, symbols: int = _SYMBOLS_MAX) -> None:
        """Insert rows into one bronze table, numbered on from those that were inserted before."""
        text = (files("tests.platform") / "sql" / f"{table}.sql").read_text(encoding="utf-8")
        self.client.command(
            text.format(
                database=self.database,
                lower=to_micros(lower),
                length=(upper - lower) // MICROSECOND,
                rows=rows,
                first=self._sequence,
                symbols=symbols,
            )
        )
        self._sequence += rows

    def rows(self, tables: tuple[str, ...]) -> dict[str, int]:
        """Return how many rows each table holds."""
        return {table: self.market.count(table) for table in tables}


def is_boundary(instant: datetime, span: timedelta) -> bool:
    """Tell whether bars of this span end at an instant."""
    return not to_micros(instant) % (span // MICROSECOND)
