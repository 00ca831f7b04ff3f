"""The queries of the cold tier, in the words of each engine, and answers that compare."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

Answer = tuple[tuple[str | Decimal, ...], ...]
"""Rows of any engine: numbers as decimals, texts as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query over trades: those of a stretch of time, of a symbol, or sums of all of them by symbol.

    Attributes:
        name: how the report names it.
        since: only trades from this instant on.
        until: only trades before this instant.
        symbol: only trades of this symbol.
    """

    name: str
    since: datetime | None = None
    until: datetime | None = None
    symbol: str | None = None

    @property
    def grouped(self) -> bool:
        """Whether there is a row for each symbol."""
        return self.since is None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        if self.grouped:
            return ("symbol", "quantity")
        return ("ts", "price", "quantity") if self.symbol is None else ("ts", "symbol", "price", "quantity")

    @property
    def filter(self) -> str:
        """Its filter in PyIceberg's words."""
        return self._filter("'{}'") or "true"

    def sql(self, table: str, instant: str) -> str:
        """Return it as SQL; ``instant`` is how the dialect writes one, with ``{}`` in the place of its ISO text."""
        condition = self._filter(instant)
        where = f" WHERE {condition}" if condition else ""
        if self.grouped:
            return f"SELECT symbol, count(*), sum(quantity) FROM {table}{where} GROUP BY symbol ORDER BY symbol"
        return f"SELECT count(*), min(price), max(price), sum(quantity) FROM {table}{where}"

    def answer(self, rows: Iterable[Sequence[object]]) -> Answer:
        """Return the rows of an engine as they compare with those of another one."""
        texts = 1 if self.grouped else 0
        return tuple((*map(str, row[:texts]), *(Decimal(str(value)) for value in row[texts:])) for row in rows)

    def _filter(self, instant: str) -> str:
        terms = []
        if self.since is not None:
            terms.append(f"ts >= {instant.format(_text(self.since))}")
        if self.until is not None:
            terms.append(f"ts < {instant.format(_text(self.until))}")
        if self.symbol is not None:
            terms.append(f"symbol = '{self.symbol}'")
        return " AND ".join(terms)


def queries(first: datetime, days: int, symbol: str, at: datetime) -> tuple[Query, ...]:
    """Return the queries of a table of so many days: a day, a quarter of the days, a trade, and sums of all.

    Args:
        first: midnight of the table's first day.
        days: how many days it has, two at least.
        symbol: that of a trade.
        at: the instant of that trade.
    """
    one = first + timedelta(days=days // 2)
    span = timedelta(days=max(2, days // 4))
    return (
        Query(name="day", since=one, until=one + timedelta(days=1)),
        Query(name="range", since=first, until=first + span),
        Query(name="point", since=at, until=at + timedelta(microseconds=1), symbol=symbol),
        Query(name="aggregate"),
    )


def _text(instant: datetime) -> str:
    return instant.isoformat(timespec="microseconds")
