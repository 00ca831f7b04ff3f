"""What the ledger knows of the hot tier's content, and of how it compares with what was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from consumer.adapters.postgres.database import Connection
from consumer.adapters.postgres.rows import compared_partition, differences, done_part
from consumer.adapters.postgres.statements import statements
from consumer.domain.lateness import NO_LATENESS, add_lateness
from consumer.domain.reconcile import ComparedPartition, Finding, RecordedWindow, recorded_windows
from consumer.domain.window import Window
from consumer.ports import Comparison


def compared(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, ComparedPartition]:
    """Return the partitions that rows tell of, by id."""
    return {row["partition_id"]: compared_partition(row) for row in rows}


def read_partitions(connection: Connection, stream: str) -> Mapping[str, ComparedPartition]:
    """Return the partitions as they were last compared, by id."""
    return compared(connection.execute(statements("comparison")["partitions"], {"stream": stream}).fetchall())


def windows_of(done: Sequence[Mapping[str, Any]], differing: Sequence[Mapping[str, Any]]) -> Sequence[RecordedWindow]:
    """Return the windows of which rows tell that they are done, and how the tiers differ in them."""
    return recorded_windows([done_part(row) for row in done], differences(differing))


def read_windows(connection: Connection, stream: str, within: Window) -> Sequence[RecordedWindow]:
    """Return the windows that are done and overlap ``within``, ascending, with what is recorded of each."""
    sql, stretch = statements("comparison"), {"stream": stream, "lower": within.lower, "upper": within.upper}
    done, differing = (connection.execute(sql[name], stretch).fetchall() for name in ("done", "differences"))
    return windows_of(done, differing)


def read_lateness(connection: Connection, stream: str) -> Sequence[int]:
    """Return the histogram of all late rows of a stream."""
    total = NO_LATENESS
    for row in connection.execute(statements("comparison")["lateness"], {"stream": stream}).fetchall():
        total = add_lateness(total, row["lateness"])
    return total


def write_comparison(connection: Connection, stream: str, comparison: Comparison) -> None:
    """Record the outcome of a comparison; after the first offload that may be thousands of partitions."""
    sql = statements("comparison")
    hot = [
        {"stream": stream, "lower": lower, "rows": hot.rows, "digest": hot.hex} for lower, hot in comparison.hot.items()
    ]
    if comparison.partitions:
        connection.execute(sql["compared"], _columns(stream, comparison.partitions))
    for row in hot:
        connection.execute(sql["differs"], row)
    for found in comparison.findings:
        connection.execute(sql["found"], _finding_row(stream, found))
    for window in comparison.equal:
        forget_window(connection, stream, window)
    if comparison.gone:
        connection.execute(sql["gone"], {"stream": stream, "gone": list(comparison.gone)})


def _columns(stream: str, partitions: Sequence[ComparedPartition]) -> Mapping[str, Any]:
    return {
        "stream": stream,
        "partition_ids": [one.id for one in partitions],
        "rows": [one.content.rows for one in partitions],
        "min_blocks": [one.content.min_block for one in partitions],
        "max_blocks": [one.content.max_block for one in partitions],
        "data_versions": [one.content.data_version for one in partitions],
        "firsts": [one.span.first for one in partitions],
        "lasts": [one.span.last for one in partitions],
        "pending": [one.span.pending for one in partitions],
        "watermarks": [one.watermark for one in partitions],
        "exact": [one.exact for one in partitions],
    }


def _finding_row(stream: str, finding: Finding) -> Mapping[str, Any]:
    return {
        "stream": stream,
        "kind": finding.kind.value,
        "lower": finding.window.lower,
        "upper": finding.window.upper,
        "rows": finding.rows,
        "detail": finding.detail,
    }


def forget_window(connection: Connection, stream: str, window: Window) -> None:
    """Forget how the tiers differed in a window whose rows are the same in both."""
    for name in ("forget_difference", "forget_findings"):
        connection.execute(
            statements("comparison")[name], {"stream": stream, "lower": window.lower, "upper": window.upper}
        )


def cut_off(connection: Connection, stream: str, since: datetime, left: Comparison) -> None:
    """Forget how the tiers differed from an instant on, but for what is ``left`` to be known of a window there.

    Findings of rows that were never read stay, and one that stays as it was stays accepted.
    """
    write_comparison(connection, stream, left)
    sql = statements("comparison")
    connection.execute(sql["cut_off_differences"], {"stream": stream, "since": since, "kept": list(left.hot)})
    kinds = [one.kind.value for one in left.findings if one.window.lower == since]
    connection.execute(sql["cut_off_findings"], {"stream": stream, "since": since, "kinds": kinds})


def accept_findings(connection: Connection, stream: str) -> int:
    """Accept every finding, and don't wait any longer for rows that have gone; return how many findings there were."""
    sql = statements("comparison")
    connection.execute(sql["settle_pending"], {"stream": stream})
    return connection.execute(sql["accept"], {"stream": stream}).rowcount
