"""Count and digest of rows by window, for many windows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from consumer.adapters.clickhouse.client import ClickHouseConnection, Row, load_sql
from consumer.domain.clickhouse_sql import quote_name, read_rows
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.late_query import hot_rows
from consumer.domain.mapping import TableMapping
from consumer.domain.stream import Stream
from consumer.domain.time_type import to_micros
from consumer.domain.unit_query import unchanged, window_condition
from consumer.domain.window import Window

_WINDOWS_AT_ONCE = 2_000


def tally(
    connection: ClickHouseConnection, stream: Stream, mapping: TableMapping, windows: Sequence[Window], *, exact: bool
) -> Sequence[Fingerprint]:
    """Count the table's rows in windows that are contiguous and ascending; with their digests where ``exact``."""

    def ask(some: Sequence[Window]) -> Iterator[Fingerprint]:
        whole = spanned(some)
        if exact:
            rows, digest = f"({hot_rows(stream, mapping, whole)})", mapping.digest_sql()
        else:
            condition = f"{window_condition(stream, mapping, whole)} AND {unchanged(stream, mapping)}"
            rows, digest = f"{read_rows(stream)} WHERE {condition}", "0"
        return by_window(connection.rows(tally_query(stream, some, rows, digest)), some)

    return in_portions(windows, ask)


def in_portions(
    windows: Sequence[Window], ask: Callable[[Sequence[Window]], Iterable[Fingerprint]]
) -> Sequence[Fingerprint]:
    """Return what ``ask`` finds of windows, asked for as many of them at a time as one query should tell apart."""
    return [
        one
        for start in range(0, len(windows), _WINDOWS_AT_ONCE)
        for one in ask(windows[start : start + _WINDOWS_AT_ONCE])
    ]


def spanned(windows: Sequence[Window]) -> Window:
    """Return the window that contiguous and ascending ones make up."""
    return Window(lower=windows[0].lower, upper=windows[-1].upper)


def tally_query(stream: Stream, windows: Sequence[Window], rows: str, digest: str) -> str:
    """Return the query of count and digest of ``rows`` by the windows; those outside count to the last one."""
    # An instant before the first window is a negative number, which wraps to one behind the last bound.
    return load_sql(
        "tally",
        time=quote_name(stream.timestamp_column),
        origin=f"toInt64({_origin(windows)})",
        bounds=f"CAST({_bounds(windows)} AS Array(UInt64))",
        digest=digest,
        rows=rows,
    )


def by_window(found: Sequence[Row], windows: Sequence[Window]) -> Iterator[Fingerprint]:
    """Return what a :func:`tally_query` has found, window by window."""
    by_bound = {int(bound): Fingerprint(rows=int(count), digest=int(digest)) for bound, count, digest in found}
    return (by_bound.get(bound, EMPTY) for bound in _bounds(windows))


def _origin(windows: Sequence[Window]) -> int:
    return to_micros(windows[0].lower)


def _bounds(windows: Sequence[Window]) -> list[int]:
    return [to_micros(window.lower) - _origin(windows) for window in windows]
