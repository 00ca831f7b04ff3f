"""Preview: what the next event of a stream would do, found by the run's own planner, writing nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

from consumer.domain.backfill import BackfillRequest
from consumer.domain.batch import Batch, BatchStatus
from consumer.domain.divergence import check_divergence
from consumer.domain.errors import StreamError
from consumer.domain.planning import Cutoff
from consumer.domain.stream import Stream
from consumer.domain.unit_query import unit_query
from consumer.domain.writer import WriterChoice, WriterPolicy, choose_writer
from consumer.ports import BatchRecord, Catalog, Ledger, Source, StreamRecord, StreamState
from consumer.service.backfill.ports import Backfills
from consumer.service.plan import fitted
from consumer.service.prepare import Preparation

_NO_TABLE = UUID(int=0)
"""Stands in for the UUID of a target that the first run will create."""

_SHOWN = 100
"""How many batches are planned at most, so that a long backlog is not looked through for a look at it."""

_LATEST = 20
"""How many of the stream's latest batches tell its speed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a tick sent now would do.

    ``batches`` are the first ones; where there are ``more``, those are planned when it is their turn. ``queries`` are
    the reading queries and ``writers`` the choices of a writer, one for each unit of the first
    non-empty batch; ``changes`` are what becomes of the target's columns with it; ``obstacle`` is why a run would halt,
    or ``None``; ``rate`` is how many rows per second the stream's latest batches wrote, ``None`` where none was
    published yet. ``start`` is where the stream's windows start, whatever is configured now; ``backfills`` are the open
    requests for history below it.
    """

    stream: Stream
    watermark: datetime
    cutoff: Cutoff
    batches: Sequence[Batch]
    more: bool
    queries: Sequence[str]
    writers: Sequence[WriterChoice]
    creates_target: bool
    changes: Sequence[str]
    obstacle: StreamError | None
    halted: bool
    rate: float | None
    start: datetime
    backfills: Sequence[BackfillRequest]

    def seconds(self, batch: Batch) -> float | None:
        """Return how long a batch should take, by the stream's own latest batches; ``None`` where unknown."""
        return batch.rows / self.rate if self.rate is not None else None


class Previewer:
    """Plans without a claim."""

    def __init__(
        self,
        *,
        source: Source,
        ledger: Ledger,
        backfills: Backfills,
        catalog: Catalog,
        writer: WriterPolicy = WriterPolicy.STREAM,
    ) -> None:
        self._writer = writer
        self._backfills = backfills
        self._source = source
        self._ledger = ledger
        self._catalog = catalog
        self._preparation = Preparation(source=source, ledger=ledger, catalog=catalog)

    def preview(self, stream: Stream) -> Preview:
        """Plan what a tick sent now would do.

        Raises:
            StreamError, TransientError: as the source raises them.
        """
        known = self._ledger.read([stream.name]).get(stream.name)
        record = known if known is not None else StreamRecord.unseen(stream.name, self._source.now(), stream.begins)
        described, mapping = self._preparation.read_source(stream, known)
        target = self._catalog.inspect(stream.target)
        obstacle: StreamError | None = None
        sized = stream
        changes: Sequence[str] = ()
        try:
            check_divergence(
                stream=stream.name,
                recorded=record.progress,
                evidence=target.evidence if target is not None else None,
            )
            sized = fitted(stream, target)
            if known is not None and target is not None and target.uuid == known.target_uuid:
                changes = self._preparation.changes(stream, known, described, mapping)
        except StreamError as error:
            obstacle = error
        cutoff, course = self._preparation.plan(
            sized, described, target.uuid if target is not None else _NO_TABLE, self._source.now()
        )
        batches = tuple(islice(course.rest(record), _SHOWN))
        first = next((batch for batch in batches if not batch.empty), None)
        units = first.units if first is not None else ()
        return Preview(
            stream=stream,
            watermark=record.watermark,
            cutoff=cutoff,
            batches=batches,
            more=bool(batches) and batches[-1].window.upper < cutoff.instant,
            queries=[unit_query(stream, mapping, unit) for unit in units],
            writers=[choose_writer(self._writer, unit, cluster=stream.source.cluster is not None) for unit in units],
            creates_target=target is None,
            changes=changes,
            obstacle=obstacle or cutoff.obstacle,
            halted=record.state is StreamState.HALTED,
            rate=latest_rate(self._ledger, stream.name) if known is not None else None,
            start=record.start,
            backfills=self._backfills.open(stream.name),
        )


def latest_rate(ledger: Ledger, stream: str) -> float | None:
    """Return how many rows per second a stream's latest batches wrote; ``None`` where none was published yet."""
    return _rate(ledger.batches(stream, _LATEST))


def _rate(batches: Sequence[BatchRecord]) -> float | None:
    """Return the rows per second of published batches, from the first attempt to the commit."""
    timed = [
        (one.rows, (one.ended - one.started).total_seconds())
        for one in batches
        if one.status is BatchStatus.PUBLISHED and one.ended is not None
    ]
    rows, seconds = sum(rows for rows, _ in timed), sum(seconds for _, seconds in timed)
    return rows / seconds if rows and seconds > 0 else None
