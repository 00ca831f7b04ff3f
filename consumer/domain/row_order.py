"""In which order the rows of a data file stand."""

from __future__ import annotations

from dataclasses import dataclass

from consumer.domain.clickhouse_sql import quote_name


@dataclass(frozen=True, slots=True, kw_only=True)
class SortKey:
    """One column that rows are sorted by."""

    column: str
    descending: bool = False
    nulls_first: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOrder:
    """What a table asks of the order of rows in its files.

    Attributes:
        keys: the columns that rows are sorted by; none: they stay in the order in which they are read.
        id: number of the table's sort order if ``keys`` are all of it, so that files may be marked with it.
    """

    keys: tuple[SortKey, ...] = ()
    id: int | None = None

    def applied_to(self, query: str) -> str:
        """Return ``query``, a query that ends with its conditions, with its rows in this order."""
        if not self.keys:
            return query
        return f"{query} ORDER BY {', '.join(_term(key) for key in self.keys)}"


AS_READ = RowOrder()
"""Rows stand in the order in which they are read."""


def _term(key: SortKey) -> str:
    direction = "DESC" if key.descending else "ASC"
    return f"{quote_name(key.column)} {direction} NULLS {'FIRST' if key.nulls_first else 'LAST'}"
