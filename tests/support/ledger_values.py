"""Batches, triggers, events and publications for tests of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from consumer.domain.backfill import BackfillRequest, BackfillState
from consumer.domain.batch import Batch, BatchKind, Replacement, Unit, WrittenFile, batch_id
from consumer.domain.event import Coordinates, Event, EventType
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.proof import Proof
from consumer.domain.reconcile import LateRow
from consumer.domain.stream import DigestPolicy, Stream, TableName
from consumer.domain.window import BEGINNING, Window
from consumer.ports import Claim, Publication, Trigger

STREAM = "ticks"
SOURCE = UUID("11111111-1111-4111-8111-111111111111")
TARGET = UUID("22222222-2222-4222-8222-222222222222")
DAY = timedelta(days=1)
T0 = datetime(2026, 3, 2, tzinfo=UTC)
TTL = timedelta(seconds=30)


def window(lower: datetime = BEGINNING, upper: datetime = T0) -> Window:
    return Window(lower=lower, upper=upper)


def batch(span: Window | None = None, *, rows: int = 10, generation: int = 1, stream: str = STREAM) -> Batch:
    span = span or window()
    return Batch(
        id=batch_id(source_uuid=SOURCE, target_uuid=TARGET, kind=BatchKind.WINDOW, window=span, generation=generation),
        stream=stream,
        kind=BatchKind.WINDOW,
        window=span,
        generation=generation,
        units=(Unit(index=0, window=span, rows=rows),) if rows else (),
    )


def supplement(
    base: Fingerprint,
    span: Window | None = None,
    *,
    lateness: tuple[int, ...] | None = None,
    revision: int = 0,
) -> Batch:
    late = (LateRow(hash=1, rows=10, instant=T0),)
    made = _change(BatchKind.SUPPLEMENT, base, span or window(), revision, late=late)
    return replace(made, lateness=lateness)


def replacement(base: Fingerprint, span: Window | None = None, *, revision: int = 1) -> Batch:
    """A replacement of what a window holds, by other rows or by none."""
    made = _change(BatchKind.REPLACE, base, span or window(), revision)
    return replace(made, replacement=Replacement(content=Fingerprint(rows=10, digest=1), files=()))


def _change(
    kind: BatchKind, base: Fingerprint, span: Window, revision: int, *, late: tuple[LateRow, ...] | None = None
) -> Batch:
    return Batch(
        id=batch_id(
            source_uuid=SOURCE, target_uuid=TARGET, kind=kind, window=span, generation=1, base=base, revision=revision
        ),
        stream=STREAM,
        kind=kind,
        window=span,
        generation=1,
        units=(Unit(index=0, window=span, rows=10, late=late),),
        base=base,
        revision=revision,
    )


def backfill_request(span: Window) -> BackfillRequest:
    return BackfillRequest(
        id=uuid4(),
        stream=STREAM,
        window=span,
        position=span.lower,
        state=BackfillState.OPEN,
        requested_by="me@here",
        requested=T0,
    )


def backfill(request_id: UUID, span: Window, *, rows: int = 10) -> Batch:
    return Batch(
        id=batch_id(source_uuid=SOURCE, target_uuid=TARGET, kind=BatchKind.BACKFILL, window=span, generation=1),
        stream=STREAM,
        kind=BatchKind.BACKFILL,
        window=span,
        generation=1,
        units=(Unit(index=0, window=span, rows=rows),) if rows else (),
        request=request_id,
    )


def trigger(event_id: str = "tick-1", offset: int = 7) -> Trigger:
    return Trigger(
        event_id=event_id,
        coordinates=Coordinates(topic="icehaul.events", partition=3, offset=offset),
        trace_id="0af7651916cd43dd8448eb211c80319c",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )


def event(event_id: str = "tick-1", stream: str = STREAM) -> Event:
    return Event(
        id=event_id,
        type=EventType.PARTITION_CLOSED,
        stream=stream,
        cutoff=T0 + timedelta(microseconds=1),
        source="/tests",
        time=T0,
        partition_id="20260301",
        content_id="abc",
        upstream="bars",
        batch_id="b",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        coordinates=Coordinates(topic="icehaul.events", partition=3, offset=7),
    )


def files(prefix: str, count: int = 2) -> list[WrittenFile]:
    return [
        WrittenFile(
            unit=number,
            path=f"{prefix}/{number}.parquet",
            bytes=100,
            fingerprint=Fingerprint(rows=5, digest=(1 << 63) + number),
        )
        for number in range(count)
    ]


def publication(claim: Claim, planned: Batch, *, outbox: Sequence[Event] = ()) -> Publication:
    return Publication(
        claim=claim,
        stream=Stream(
            name=planned.stream,
            source=TableName.parse("market.ticks"),
            target=TableName.parse("bronze.ticks"),
            timestamp_column="ts",
        ),
        batch=planned,
        trigger=trigger(),
        files=files(f"s3://icehaul/{uuid4()}"),
        proof=Proof(policy=DigestPolicy.SAMPLED, files=1, content=Fingerprint(rows=5, digest=1 << 63)),
        outbox=outbox,
    )
