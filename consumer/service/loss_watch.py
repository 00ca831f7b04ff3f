"""Watching where all streams stand: lag, state, and how near the sources' TTLs are to rows that were not offloaded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from consumer.domain.errors import IcehaulError
from consumer.domain.retention import Outlook
from consumer.domain.stream import Stream
from consumer.domain.turns import Rank, StreamOrder, rank
from consumer.ports import Ledger, Metrics, Source, StreamRecord, StreamState
from consumer.service.retention import look_ahead
from consumer.service.threads import Signal

_log = structlog.get_logger(__name__)


class LossWatch:
    """Looks every now and then at all streams: for the metrics, and to know whose events come first.

    A handler measures a stream when it handles an event of it: without events, or once another consumer handles them,
    its figures would stand still.
    """

    def __init__(
        self,
        *,
        streams: Mapping[str, Stream],
        source: Source,
        ledger: Ledger,
        metrics: Metrics,
        order: StreamOrder = StreamOrder.WAITING,
    ) -> None:
        self._order = order
        self._streams = streams
        self._source = source
        self._ledger = ledger
        self._metrics = metrics
        self._dangers: Mapping[str, datetime] = {}
        self._seen: set[str] = set()
        self._outlooks: Mapping[str, Outlook] = {}
        self._watermarks: Mapping[str, datetime] = {}

    def rank(self, stream: str) -> Rank | None:
        """Return when it is a stream's turn, by what the last look found; see :func:`consumer.domain.turns.rank`."""
        outlook = self._outlooks.get(stream)
        return rank(
            self._order,
            watermark=self._watermarks.get(stream),
            loss=None if outlook is None else outlook.at,
            danger=self._dangers.get(stream),
        )

    def outlook(self, stream: str) -> Outlook | None:
        """Return a stream's time to loss as the last look found it; ``None`` where it could not be found."""
        return self._outlooks.get(stream)

    def look(self) -> None:
        """Look once. A stream that can't be looked at counts as unknown, and stops no other.

        Raises:
            TransientError: if ledger or source can't be asked at all.
        """
        now, records = self._source.now(), self._ledger.read(list(self._streams))
        dangers, outlooks, watermarks = {}, {}, {}
        for name, stream in self._streams.items():
            if self._removed(name, records.get(name), now):
                continue
            lowest = watermarks[name] = records[name].watermark if name in records else stream.begins
            try:
                outlook = look_ahead(self._source, stream, self._source.describe(stream.source), lowest, now)
            except IcehaulError as error:
                _log.info("retention.unknown", stream=name, error=error.message)
                self._metrics.time_to_loss(name, float("nan"))
                continue
            outlooks[name] = outlook
            self._metrics.time_to_loss(name, outlook.seconds(stream.retention.margin))
            if outlook.at is not None and outlook.within(stream.retention.margin):
                dangers[name] = outlook.at
                _log.warning("retention.danger", stream=name, at=outlook.at.isoformat(), clause=outlook.clause)
        self._dangers, self._outlooks, self._watermarks = dangers, outlooks, watermarks

    def _removed(self, stream: str, record: StreamRecord | None, now: datetime) -> bool:
        """Record what the ledger says of a stream; tell whether it has lost the stream that it had before."""
        if record is None:
            if stream not in self._seen:
                return False
            self._metrics.forget(stream)
            return True
        self._seen.add(stream)
        self._metrics.state(stream, halted=record.state is StreamState.HALTED)
        if not record.unread:
            self._metrics.watermark(stream, record.watermark, now - record.watermark)
        return False

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
