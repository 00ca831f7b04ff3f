"""The ledger as the console reads it, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.errors import LedgerUnavailableError
from consumer.domain.reconcile import Finding, FindingKind
from consumer.domain.window import Window
from consumer.ports import BatchRecord, StreamRecord, StreamState
from consumer.service.console.ports import BatchDetail, BatchPlace, FileRecord, StreamSummary

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def record(stream: str, *, halted: str | None = None) -> StreamRecord:
    known = StreamRecord.unseen(stream, NOW, NOW - timedelta(days=9))
    return StreamRecord(
        **{name: getattr(known, name) for name in StreamRecord.__slots__}
        | {
            "watermark": NOW - timedelta(hours=1),
            "state": StreamState.ACTIVE if halted is None else StreamState.HALTED,
            "halt_reason": halted,
            "halt_remedy": None if halted is None else "icehaul repair it",
        }
    )


def batch(stream: str, number: int) -> BatchRecord:
    started = NOW - timedelta(minutes=number)
    return BatchRecord(
        batch_id=UUID(int=number),
        stream=stream,
        kind=BatchKind.WINDOW,
        window=Window(lower=started - timedelta(hours=2), upper=started - timedelta(hours=1)),
        generation=1,
        status=BatchStatus.PUBLISHED,
        rows=10,
        bytes=100,
        digest="0" * 16,
        snapshot_id=2**62 + 1,
        attempts=1,
        error=None,
        trace_id="t",
        started=started,
        ended=started,
    )


class MemoryHistory:
    """A ledger in memory; it counts how often the list of streams was read."""

    def __init__(self) -> None:
        self.batches = {name: [batch(name, number) for number in range(250)] for name in ("stream_000",)}
        self.halted: dict[str, str] = {}
        self.reads = 0
        self.failing = False

    def summaries(self, streams: Sequence[str]) -> tuple[datetime, Mapping[str, StreamSummary]]:
        self.reads += 1
        if self.failing:
            raise LedgerUnavailableError("no answer from Postgres", remedy="start it")
        return NOW, {
            name: StreamSummary(
                record=record(name, halted=self.halted.get(name)), latest=None, parked=0, findings=1, backfills=0
            )
            for name in streams
            if name != "stream_199"
        }

    def findings(self, stream: str, limit: int) -> Sequence[Finding]:
        window = Window(lower=NOW - timedelta(days=1), upper=NOW)
        return [Finding(kind=FindingKind.GAP, window=window, rows=1, detail="a gap")][:limit]

    def page(self, stream: str, limit: int, before: BatchPlace | None) -> Sequence[BatchRecord]:
        all_of_them = self.batches.get(stream, [])
        return [one for one in all_of_them if before is None or one.started < before.started][:limit]

    def batch(self, batch_id: UUID) -> BatchDetail | None:
        stream = "another" if batch_id.int == 1000 else "stream_000"
        if batch_id.int > 1000:
            return None
        return BatchDetail(
            batch=batch(stream, batch_id.int), owner="me", epoch=1, coordinates=None, event_ids=["e"], files=3
        )

    def files(self, batch_id: UUID, limit: int, after: str) -> Sequence[FileRecord]:
        paths = [f"s3://lake/{number}" for number in range(3)]
        return [
            FileRecord(path=path, prefix="s3://lake/", unit=0, rows=1, bytes=1, digest="0" * 16, created=NOW)
            for path in paths
            if path > after
        ][:limit]
