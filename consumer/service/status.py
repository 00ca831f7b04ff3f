"""Status: where every stream stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING
from consumer.ports import BatchRecord, Ledger, Source, StreamRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatus:
    """A configured stream with its record, latest batches and parked events.

    ``record`` is ``None`` for a stream that no consumer has seen yet; ``lag`` is the source server's time
    less the watermark, ``None`` where nothing was read.
    """

    stream: Stream
    record: StreamRecord | None
    lag: timedelta | None
    batches: Sequence[BatchRecord]
    parked: int


class Statuses:
    """Reads the status of streams from the ledger, and the time from the source."""

    def __init__(self, *, source: Source, ledger: Ledger) -> None:
        self._source = source
        self._ledger = ledger

    def read(self, streams: Mapping[str, Stream], *, batches: int) -> tuple[datetime, Sequence[StreamStatus]]:
        """Return the source server's time and the status of each stream, with its latest ``batches``.

        Raises:
            TransientError: if source or ledger can't be asked now.
        """
        now = self._source.now()
        records = self._ledger.read(list(streams))
        return now, [self._status(stream, records.get(name), now, batches) for name, stream in streams.items()]

    def _status(self, stream: Stream, record: StreamRecord | None, now: datetime, batches: int) -> StreamStatus:
        read = record is not None and record.watermark > BEGINNING
        return StreamStatus(
            stream=stream,
            record=record,
            lag=now - record.watermark if record is not None and read else None,
            batches=self._ledger.batches(stream.name, batches) if record is not None else (),
            parked=len(self._ledger.parked(stream.name)) if record is not None else 0,
        )
