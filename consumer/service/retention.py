"""How near the source's TTL is to rows that were not offloaded, and what a stream does that waits meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from consumer.domain.duration import format_duration
from consumer.domain.errors import RetentionError
from consumer.domain.phrasing import instant_text
from consumer.domain.planning import Cutoff, CutoffReason
from consumer.domain.retention import OnDanger, Outlook, foresee
from consumer.domain.stream import Stream
from consumer.domain.window import END_OF_TIME, Window
from consumer.ports import Source, SourceTable


def look_ahead(source: Source, stream: Stream, table: SourceTable, lowest: datetime, now: datetime) -> Outlook:
    """Return when the table's TTL may delete rows at or above ``lowest``, a watermark or a cutoff.

    A row at ``lowest`` itself is the worst case, and costs no query. Only where that is a danger is the source asked
    for the oldest row that is there.

    Raises:
        StreamError, TransientError: as the source raises them.
    """
    worst = _foresee(stream, table, lowest, now)
    if not worst.within(stream.retention.margin):
        return worst
    first = source.first(stream, Window(lower=lowest, upper=END_OF_TIME))
    return Outlook(now=now, lowest=lowest) if first is None else _foresee(stream, table, first, now)


def _foresee(stream: Stream, table: SourceTable, lowest: datetime, now: datetime) -> Outlook:
    return foresee(
        table.ttls,
        lowest=lowest,
        now=now,
        time_column=stream.timestamp_column,
        column_type=next((one.type for one in table.columns if one.name == stream.timestamp_column), ""),
        server_zone=table.server_zone,
    )


def leave_upstreams(stream: Stream, waiting: Cutoff, free: Cutoff, outlook: Outlook) -> Cutoff:
    """Return the cutoff of a stream that would lose rows by waiting for its upstreams: the free one, or an obstacle.

    Args:
        stream: the stream.
        waiting: the cutoff that an upstream set.
        free: the cutoff without upstreams.
        outlook: what the TTL may delete at or above the waiting cutoff; a danger.
    """
    danger = (
        f"rows from {instant_text(outlook.lowest)} on may be deleted from {stream.source} at"
        f" {instant_text(outlook.at or outlook.now)} by its TTL {outlook.clause!r}, which is within the margin of"
        f" {format_duration(stream.retention.margin)}"
    )
    if stream.retention.on_danger is OnDanger.HALT:
        error = RetentionError(
            f"stream {stream.name}: {danger}, while it waits: {waiting.detail}",
            remedy=f"ALTER TABLE {stream.source} MODIFY TTL … to a longer time, or let the upstream go on, or set"
            f" retention.on_danger to proceed; then run `icehaul resume {stream.name}`, before that moment",
        )
        return replace(waiting, obstacle=error)
    return replace(free, reason=CutoffReason.TTL, detail=f"not waiting, for {danger}; {waiting.detail}; {free.detail}")
