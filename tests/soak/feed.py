"""The hot tier of a soak: rows of each quarter hour, late rows, a TTL that is due, columns that are added."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.resources import files

from consumer.demo.market import BARS, TABLES
from consumer.domain.planning import floor_to_span
from consumer.domain.time_type import to_micros
from consumer.domain.window import MICROSECOND
from tests.platform.trading import COINBASE, KRAKEN, Trading
from tests.soak.witness import Witness

_LATE_ROWS = 5
_WITH_COLUMNS = (COINBASE, KRAKEN)


@dataclass
class Feed:
    """Inserts into the ten tables; the witness sees every row.

    Attributes:
        retention: how long the hot tier keeps a row.
    """

    trading: Trading
    witness: Witness
    retention: timedelta
    _late: int = field(default=0, init=False)
    _columns: int = field(default=0, init=False)

    def quarter(self, lower: datetime, rows: int) -> None:
        """Insert the rows of a quarter hour: those of trading, and the bars that end with it."""
        self.trading.trade(lower, rows)

    def late(self, instant: datetime, now: datetime) -> None:
        """Insert trades of a new symbol from an instant on, and the bars of all spans that are over by ``now``."""
        self._late += 1
        symbol = f"LATE{self._late}"
        upper = instant + timedelta(seconds=1)
        self._command(
            (files("tests.soak") / "sql" / "late_trades.sql")
            .read_text(encoding="utf-8")
            .format(
                database=self.trading.database,
                lower=to_micros(instant),
                length=(upper - instant) // MICROSECOND,
                rows=_LATE_ROWS,
                first=10**12 + self._late * _LATE_ROWS,
                symbol=symbol,
            )
        )
        for table, span in BARS.items():
            start = floor_to_span(instant, span)
            if start + span <= now:
                self.trading.market.derive(table, start, start + span, symbol)

    def expire(self, now: datetime, real: datetime) -> None:
        """Let ClickHouse's own TTL delete what is older than the retention.

        The server's clock is the real one, so the expression says when that reaches what is due in simulated time, and
        is taken away again: after it, real minutes pass that no quarter hour has. A bar is as old as its end.
        """
        for table, column in _time_columns():
            oldest = now - self.retention - BARS.get(table, timedelta(0))
            seconds = int((real - oldest).total_seconds())
            name = f"{self.trading.database}.{table}"
            self._command(
                f"ALTER TABLE {name} MODIFY TTL toDateTime({column}) + toIntervalSecond({seconds})"
                " SETTINGS materialize_ttl_after_modify = 0"
            )
            self._command(f"OPTIMIZE TABLE {name} FINAL")
            self._command(f"ALTER TABLE {name} REMOVE TTL")

    def add_column(self) -> None:
        """Add a column to a bronze table, which the rows that follow fill."""
        table = _WITH_COLUMNS[self._columns % len(_WITH_COLUMNS)]
        self._columns += 1
        added = f"ADD COLUMN venue_{self._columns} Nullable(UInt32) DEFAULT toNullable(sequence_number % 100)"
        self._command(f"ALTER TABLE {self.trading.database}.{table} {added}")
        self.witness.watch(table)

    def _command(self, statement: str) -> None:
        self.trading.client.command(statement)


def _time_columns() -> Iterator[tuple[str, str]]:
    for table in TABLES:
        yield table, "bar_start" if table in BARS else "exchange_timestamp"
