"""What the console's page is told, as plain data: the facts and words of `icehaul status`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from consumer.domain.reconcile import Finding
from consumer.entrypoints.cli.status_view import activity_data, batch_data, finding_data, loss_data
from consumer.ports import BatchRecord
from consumer.service.console.ports import COUNT_LIMIT, BatchDetail, BatchPlace, FileRecord
from consumer.service.console.viewing import StreamView


def streams_page(now: datetime, views: Sequence[StreamView], following: str | None) -> dict[str, Any]:
    """Return a page of streams; ``next`` is what the next page is asked for ``after``."""
    return {
        "now": now,
        "count_limit": COUNT_LIMIT,
        "streams": [stream_data(view) for view in views],
        "next": following,
    }


def stream_data(view: StreamView) -> dict[str, Any]:
    """Return a stream's state."""
    record = view.record
    known = record if record is not None and not record.unread else None
    return {
        "name": view.stream.name,
        "source": str(view.stream.source),
        "target": str(view.stream.target),
        "layer": view.stream.layer,
        "state": record.state if record is not None else "new",
        "halt_reason": record.halt_reason if record is not None else None,
        "halt_remedy": record.halt_remedy if record is not None else None,
        "runbook": view.runbook,
        "watermark": known.watermark if known is not None else None,
        "lag_seconds": view.lag.total_seconds() if view.lag is not None else None,
        "time_to_loss": loss_data(view.outlook, view.stream.retention.margin),
        "parked_events": view.parked,
        "open_findings": view.findings,
        "open_backfills": view.backfills,
        "now": activity_data(view.activity) if view.activity is not None else None,
        "latest": console_batch(view.latest) if view.latest is not None else None,
    }


def stream_page(now: datetime, view: StreamView, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return one stream with what was found in its source."""
    return {
        "now": now,
        "count_limit": COUNT_LIMIT,
        "stream": stream_data(view),
        "findings": [finding_data(one) for one in findings],
    }


def batches_page(batches: Sequence[BatchRecord], limit: int) -> dict[str, Any]:
    """Return a page of batches; ``next`` is what the next, older page is asked for ``before``."""
    last = batches[-1] if len(batches) == limit else None
    return {
        "batches": [console_batch(batch) for batch in batches],
        "next": f"{last.started.isoformat()},{last.batch_id}" if last is not None else None,
    }


def place_of(cursor: str) -> BatchPlace:
    """Return the place that ``next`` of a page has named.

    Raises:
        ValueError: if it is none.
    """
    started, _, batch_id = cursor.partition(",")
    instant = datetime.fromisoformat(started)
    if instant.tzinfo is None:
        raise ValueError(cursor)
    return BatchPlace(started=instant, batch_id=UUID(batch_id))


def batch_page(detail: BatchDetail) -> dict[str, Any]:
    """Return a batch with where it comes from."""
    at = detail.coordinates
    return {
        "stream": detail.batch.stream,
        "batch": console_batch(detail.batch),
        "owner": detail.owner,
        "epoch": detail.epoch,
        "event": None if at is None else {"topic": at.topic, "partition": at.partition, "offset": at.offset},
        "event_ids": list(detail.event_ids),
        "files": detail.files,
        "count_limit": COUNT_LIMIT,
    }


def files_page(files: Sequence[FileRecord], limit: int) -> dict[str, Any]:
    """Return a page of files; ``next`` is what the next page is asked for ``after``."""
    return {
        "files": [
            {"path": one.path, "unit": one.unit, "rows": one.rows, "bytes": one.bytes, "digest": one.digest}
            for one in files
        ],
        "next": files[-1].path if len(files) == limit else None,
    }


def console_batch(batch: BatchRecord) -> dict[str, Any]:
    """Return a batch; its snapshot id as text, since JavaScript's numbers end at 2^53."""
    snapshot = None if batch.snapshot_id is None else str(batch.snapshot_id)
    return {**batch_data(batch), "snapshot_id": snapshot}
