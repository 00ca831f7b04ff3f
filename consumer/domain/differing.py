"""Rows that differ: what stands in one tier more often than in the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferingRow:
    """A row that one tier holds more often than the other.

    Attributes:
        hash: its full-row hash.
        instant: its time, UTC.
        hot: how often the hot tier holds it.
        cold: how often the cold tier does.
        values: every column's value as text, ``None`` for NULL, by the column's name and in the table's order.
    """

    hash: int
    instant: datetime
    hot: int
    cold: int
    values: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Differing:
    """What differs in a stretch of time: ``missing`` rows are in the hot tier only, ``surplus`` in the cold tier only.

    Both are counted with multiplicity; ``rows`` are some of them, the earliest first.
    """

    missing: int
    surplus: int
    rows: Sequence[DifferingRow] = ()
