"""Status: where every stream stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from consumer.domain.backfill import BackfillRequest
from consumer.domain.batch import BatchStatus
from consumer.domain.errors import StreamError
from consumer.domain.lateness import NO_LATENESS
from consumer.domain.reconcile import Finding
from consumer.domain.retention import Outlook
from consumer.domain.stream import Stream
from consumer.ports import BatchRecord, Ledger, Source, StreamRecord
from consumer.service.backfill.ports import Backfills
from consumer.service.console.runbook import runbook
from consumer.service.retention import look_ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What is being done for a stream now.

    ``batch`` is the batch that is being written, ``None`` while its owner plans; ``age`` is how long ago its latest
    attempt began. Where ``live`` is false, the lease has expired: the owner died, and the next event goes on.
    """

    owner: str
    live: bool
    batch: BatchRecord | None
    age: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatus:
    """A configured stream with its record, latest batches and parked events.

    ``record`` is ``None`` for a stream that no consumer has seen yet; ``lag`` is the source server's time
    less the watermark, ``None`` where nothing was read. ``findings`` are those that nobody has accepted; ``lateness``
    counts the late rows by :data:`~consumer.domain.lateness.LATENESS_STEPS`. ``outlook`` tells the time to loss,
    ``None`` where the source can't be described. ``backfills`` are the open requests for history.
    """

    stream: Stream
    record: StreamRecord | None
    lag: timedelta | None
    batches: Sequence[BatchRecord]
    parked: int
    outlook: Outlook | None
    activity: Activity | None = None
    findings: Sequence[Finding] = ()
    lateness: Sequence[int] = NO_LATENESS
    backfills: Sequence[BackfillRequest] = ()

    @property
    def runbook(self) -> str | None:
        """The page of ``docs/runbooks`` about what is wrong; ``None`` if nothing is."""
        return runbook(
            self.record,
            latest=self.batches[0] if self.batches else None,
            findings=len(self.findings),
            in_danger=self.outlook is not None and self.outlook.within(self.stream.retention.margin),
        )

    @property
    def other_start(self) -> bool:
        """Whether the stream starts elsewhere than is configured now."""
        return self.record is not None and self.record.epoch > 0 and self.record.start != self.stream.begins


class Statuses:
    """Reads the status of streams from the ledger, and the time from the source."""

    def __init__(self, *, source: Source, ledger: Ledger, backfills: Backfills) -> None:
        self._backfills = backfills
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
        read = record is not None and not record.unread
        latest = self._ledger.batches(stream.name, batches) if record is not None else ()
        return StreamStatus(
            stream=stream,
            record=record,
            lag=now - record.watermark if record is not None and read else None,
            batches=latest,
            parked=len(self._ledger.parked(stream.name)) if record is not None else 0,
            outlook=self._outlook(stream, record, now),
            activity=find_activity(record, latest, now),
            findings=[each for each in self._ledger.findings(stream.name) if not each.accepted],
            lateness=self._ledger.lateness(stream.name),
            backfills=self._backfills.open(stream.name),
        )

    def _outlook(self, stream: Stream, record: StreamRecord | None, now: datetime) -> Outlook | None:
        lowest = record.watermark if record is not None else stream.begins
        try:
            return look_ahead(self._source, stream, self._source.describe(stream.source), lowest, now)
        except StreamError:
            return None  # what is wrong with the source is for `plan` and `doctor` to say


def find_activity(record: StreamRecord | None, latest: Sequence[BatchRecord], now: datetime) -> Activity | None:
    """Tell what the lease and the newest batch say; the servers' clocks are taken to agree."""
    if record is None or record.owner is None:
        return None
    # Batches of a stream run one after the other: only the newest can be in the making.
    writing = latest[0] if latest and latest[0].status is BatchStatus.WRITING else None
    live = record.lease_expires is not None and record.lease_expires > now
    if not live and writing is None:
        return None
    age = max(now - writing.started, timedelta(0)) if writing is not None else None
    return Activity(owner=record.owner, live=live, batch=writing, age=age)
