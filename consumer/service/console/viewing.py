"""Where the streams stand, as the console shows it: no query to the source, and none that grows with the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from consumer.domain.reconcile import Finding
from consumer.domain.retention import Outlook
from consumer.domain.stream import Stream
from consumer.ports import BatchRecord, StreamRecord
from consumer.service.console.ports import BatchDetail, BatchPlace, FileRecord, History, StreamSummary
from consumer.service.console.runbook import runbook
from consumer.service.status import Activity, find_activity

MOST_FINDINGS = 100
"""How many findings of a stream are shown at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamView:
    """A configured stream as the console shows it.

    ``record`` is ``None`` for a stream that no consumer has seen yet; ``lag`` is the ledger server's time less the
    watermark, ``None`` where nothing was read. ``outlook`` tells the time to loss as the consumer's last look at the
    source found it, ``None`` where there was none yet. ``runbook`` names the page about what is wrong.
    """

    stream: Stream
    record: StreamRecord | None
    lag: timedelta | None
    latest: BatchRecord | None
    parked: int
    findings: int
    backfills: int
    outlook: Outlook | None
    activity: Activity | None
    runbook: str | None

    @property
    def in_danger(self) -> bool:
        """Whether rows may be lost soon."""
        return _in_danger(self.stream, self.outlook)


class Viewing:
    """Reads what the console shows.

    Args:
        streams: the configured streams by name.
        history: the ledger.
        outlook: returns a stream's time to loss as the consumer found it last, without asking the source.
    """

    def __init__(
        self, *, streams: Mapping[str, Stream], history: History, outlook: Callable[[str], Outlook | None]
    ) -> None:
        self._streams = streams
        self._names = sorted(streams)
        self._history = history
        self._outlook = outlook

    def streams(self, *, after: str, limit: int) -> tuple[datetime, Sequence[StreamView], str | None]:
        """Return the ledger server's time, streams by name, and the name that the next page begins after, if any.

        Raises:
            TransientError: if the ledger can't be asked now.
        """
        ahead = [name for name in self._names if name > after]
        names = ahead[:limit]
        now, summaries = self._history.summaries(names)
        views = [self._view(self._streams[name], summaries.get(name), now) for name in names]
        return now, views, names[-1] if len(ahead) > limit else None

    def stream(self, name: str) -> tuple[datetime, StreamView, Sequence[Finding]] | None:
        """Return the ledger server's time, one stream and its open findings; ``None`` if none is configured so.

        Raises:
            TransientError: if the ledger can't be asked now.
        """
        if name not in self._streams:
            return None
        now, summaries = self._history.summaries([name])
        view = self._view(self._streams[name], summaries.get(name), now)
        findings = self._history.findings(name, MOST_FINDINGS) if view.findings else ()
        return now, view, findings

    def batches(self, stream: str, limit: int, before: BatchPlace | None) -> Sequence[BatchRecord] | None:
        """Return batches of a stream, newest first; ``None`` if no stream is configured so."""
        return self._history.page(stream, limit, before) if stream in self._streams else None

    def batch(self, batch_id: UUID) -> BatchDetail | None:
        """Return a batch of a configured stream."""
        found = self._history.batch(batch_id)
        return found if found is not None and found.batch.stream in self._streams else None

    def files(self, batch_id: UUID, limit: int, after: str) -> Sequence[FileRecord] | None:
        """Return files of a batch by path, those above ``after``; ``None`` if no configured stream has the batch."""
        return None if self.batch(batch_id) is None else self._history.files(batch_id, limit, after)

    def _view(self, stream: Stream, summary: StreamSummary | None, now: datetime) -> StreamView:
        record = summary.record if summary is not None else None
        latest = summary.latest if summary is not None else None
        findings = summary.findings if summary is not None else 0
        seen = self._outlook(stream.name)
        outlook = replace(seen, now=now) if seen is not None else None
        in_danger = _in_danger(stream, outlook)
        return StreamView(
            stream=stream,
            record=record,
            lag=now - record.watermark if record is not None and not record.unread else None,
            latest=latest,
            parked=summary.parked if summary is not None else 0,
            findings=findings,
            backfills=summary.backfills if summary is not None else 0,
            outlook=outlook,
            activity=find_activity(record, () if latest is None else (latest,), now),
            runbook=runbook(record, latest=latest, findings=findings, in_danger=in_danger),
        )


def _in_danger(stream: Stream, outlook: Outlook | None) -> bool:
    return outlook is not None and outlook.within(stream.retention.margin)
