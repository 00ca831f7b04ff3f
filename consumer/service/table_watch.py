"""Watching how many files the targets have, and how small they are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

import structlog

from consumer.domain.errors import IcehaulError
from consumer.domain.stream import Stream, TableName
from consumer.domain.table_size import TableSize
from consumer.service.threads import Signal

_log = structlog.get_logger(__name__)


class SizedTables(Protocol):
    """Tables whose live data files can be counted."""

    def size(self, table: TableName) -> TableSize | None:
        """Return the size of a table; ``None`` where there is none.

        Raises:
            TransientError: if it can't be looked at now.
        """
        ...


class TableMetrics(Protocol):
    """What is measured of tables."""

    def table(self, stream: str, size: TableSize) -> None:
        """Record the live data files of a stream's target."""
        ...


class TableWatch:
    """Looks every now and then at the targets of all streams."""

    def __init__(self, *, streams: Mapping[str, Stream], tables: SizedTables, metrics: TableMetrics) -> None:
        self._streams = streams
        self._tables = tables
        self._metrics = metrics

    def look(self, stop: Signal) -> None:
        """Look once, until ``stop`` is set. A table that can't be looked at stops no other."""
        for name, stream in self._streams.items():
            if stop.is_set():
                return
            try:
                size = self._tables.size(stream.target)
            except IcehaulError as error:
                _log.info("table.unseen", stream=name, table=str(stream.target), error=error.message)
                continue
            if size is not None:
                self._metrics.table(name, size)

    def run(self, stop: Signal, interval: timedelta) -> None:
        """Look every ``interval`` until ``stop`` is set; whatever fails is logged, and offloading goes on."""
        while not stop.is_set():
            try:
                self.look(stop)
            except Exception as error:  # noqa: BLE001 - a figure that is missing stops no offload
                _log.error("table.watch_failed", exc_info=error)
            stop.wait(interval.total_seconds())
