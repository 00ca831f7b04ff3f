"""Rows of the ledger's tables as the values of the ports, and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from consumer.domain.batch import Batch, BatchStatus
from consumer.domain.window import Window
from consumer.ports import BatchRecord, Claim, StreamRecord, StreamState, Trigger

Row = Mapping[str, Any]


def stream_record(row: Row) -> StreamRecord:
    """Rebuild a stream's record."""
    return StreamRecord(
        stream=row["stream"],
        watermark=_utc(row["watermark"]),
        last_upper=_utc_or_none(row["last_upper"]),
        generation=row["generation"],
        source_uuid=row["source_uuid"],
        target_uuid=row["target_uuid"],
        epoch=row["epoch"],
        owner=row["owner"],
        lease_expires=_utc_or_none(row["lease_expires"]),
        state=StreamState(row["state"]),
        halt_reason=row["halt_reason"],
        halt_remedy=row["halt_remedy"],
        updated=_utc(row["updated"]),
    )


def batch_record(row: Row) -> BatchRecord:
    """Rebuild a batch's record."""
    return BatchRecord(
        batch_id=row["batch_id"],
        stream=row["stream"],
        window=Window(lower=_utc(row["lower"]), upper=_utc(row["upper"])),
        generation=row["generation"],
        status=BatchStatus(row["status"]),
        rows=row["rows"],
        bytes=row["bytes"],
        digest=row["digest"],
        snapshot_id=row["snapshot_id"],
        attempts=row["attempts"],
        error=row["error"],
        trace_id=row["trace_id"],
        started=_utc(row["started"]),
        ended=_utc_or_none(row["ended"]),
    )


def batch_parameters(claim: Claim, batch: Batch, trigger: Trigger) -> dict[str, Any]:
    """Return what every statement on a batch's row is given."""
    at = trigger.coordinates
    return {
        "batch_id": batch.id,
        "stream": claim.stream,
        "kind": batch.kind.value,
        "lower": batch.window.lower,
        "upper": batch.window.upper,
        "generation": batch.generation,
        "topic": None if at is None else at.topic,
        "partition": None if at is None else at.partition,
        "offset": None if at is None else at.offset,
        "event_id": trigger.event_id,
        "trace_id": trigger.trace_id,
        "epoch": claim.epoch,
        "owner": claim.owner,
    }


def _utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC)


def _utc_or_none(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.astimezone(UTC)
