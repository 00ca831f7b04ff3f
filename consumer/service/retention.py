"""How near the source's TTL is to rows that were not offloaded: asked of the source, watched, and acted upon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from consumer.domain.duration import format_duration
from consumer.domain.errors import IcehaulError, RetentionError
from consumer.domain.phrasing import instant_text
from consumer.domain.planning import Cutoff, CutoffReason
from consumer.domain.retention import OnDanger, Outlook, foresee
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING, END_OF_TIME, Window
from consumer.ports import Ledger, Metrics, Source, SourceTable
from consumer.service.threads import Signal

_log = structlog.get_logger(__name__)


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
    first = source.extent(stream, Window(lower=lowest, upper=END_OF_TIME)).first
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


class LossWatch:
    """Looks every now and then at all streams: for the metric, and to know whose events come first."""

    def __init__(self, *, streams: Mapping[str, Stream], source: Source, ledger: Ledger, metrics: Metrics) -> None:
        self._streams = streams
        self._source = source
        self._ledger = ledger
        self._metrics = metrics
        self._dangers: Mapping[str, datetime] = {}

    def urgency(self, stream: str) -> datetime | None:
        """Return when a stream in danger may lose rows, as the last look found it; ``None`` for any other stream."""
        return self._dangers.get(stream)

    def look(self) -> None:
        """Look once. A stream that can't be looked at counts as unknown, and stops no other.

        Raises:
            TransientError: if ledger or source can't be asked at all.
        """
        now, records = self._source.now(), self._ledger.read(list(self._streams))
        dangers = {}
        for name, stream in self._streams.items():
            lowest = records[name].watermark if name in records else BEGINNING
            try:
                outlook = look_ahead(self._source, stream, self._source.describe(stream.source), lowest, now)
            except IcehaulError as error:
                _log.info("retention.unknown", stream=name, error=error.message)
                self._metrics.time_to_loss(name, float("nan"))
                continue
            self._metrics.time_to_loss(name, outlook.seconds(stream.retention.margin))
            if outlook.at is not None and outlook.within(stream.retention.margin):
                dangers[name] = outlook.at
                _log.warning("retention.danger", stream=name, at=outlook.at.isoformat(), clause=outlook.clause)
        self._dangers = dangers

    def run(self, stop: Signal, interval: timedelta) -> None:
        """Look every ``interval`` until ``stop`` is set; whatever fails is logged, and offloading goes on."""
        while not stop.is_set():
            try:
                self.look()
            except IcehaulError as error:
                _log.warning("retention.failed", error=error.message, remedy=error.remedy)
            except Exception as error:  # noqa: BLE001 - offloading is what keeps rows from being lost: it goes on
                _log.error("retention.failed", exc_info=error)
            stop.wait(interval.total_seconds())
