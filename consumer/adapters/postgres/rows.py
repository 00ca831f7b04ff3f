"""Rows of the ledger's tables as the values of the ports, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from consumer.adapters.postgres.schemas import schemas_from_json
from consumer.domain.batch import Batch, BatchKind, BatchStatus
from consumer.domain.fingerprint import EMPTY, Fingerprint
from consumer.domain.inventory import PartitionContent
from consumer.domain.proof import Proof
from consumer.domain.reconcile import ComparedPartition, DonePart, Finding, FindingKind, PartitionSpan, PartKind
from consumer.domain.stream import DigestPolicy
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
        last_batch_id=row["last_batch_id"],
        start=_utc(row["start"]),
        last_backfill_id=row["last_backfill_id"],
        adopted=_utc_or_none(row["adopted"]),
        schemas=schemas_from_json(row["schemas"]),
    )


def batch_record(row: Row) -> BatchRecord:
    """Rebuild a batch's record."""
    return BatchRecord(
        batch_id=row["batch_id"],
        stream=row["stream"],
        kind=BatchKind(row["kind"]),
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
        proof=_proof(row),
    )


def _proof(row: Row) -> Proof | None:
    if row["proof"] is None:
        return None
    return Proof(
        policy=DigestPolicy(row["proof"]),
        files=row["proved_files"],
        content=Fingerprint.parse(rows=row["proved_rows"], hexadecimal=row["proved_digest"]),
    )


def done_part(row: Row) -> DonePart:
    """Rebuild a batch that is done, as far as its content goes."""
    digest = row["digest"]
    return DonePart(
        kind=PartKind.of(row["kind"]),
        window=Window(lower=_utc(row["lower"]), upper=_utc(row["upper"])),
        fingerprint=EMPTY if digest is None else Fingerprint.parse(rows=row["rows"], hexadecimal=digest),
        revision=row["revision"],
    )


def compared_partition(row: Row) -> ComparedPartition:
    """Rebuild a partition as it was last compared."""
    return ComparedPartition(
        id=row["partition_id"],
        content=PartitionContent(
            rows=row["rows"],
            min_block=row["min_block"],
            max_block=row["max_block"],
            data_version=row["data_version"],
        ),
        span=PartitionSpan(first=_utc(row["first"]), last=_utc(row["last"]), pending=row["pending"]),
        watermark=_utc(row["watermark"]),
        exact=row["exact"],
    )


def finding(row: Row) -> Finding:
    """Rebuild a finding."""
    return Finding(
        kind=FindingKind(row["kind"]),
        window=Window(lower=_utc(row["lower"]), upper=_utc(row["upper"])),
        rows=row["rows"],
        detail=row["detail"],
        accepted=row["accepted"],
    )


def differences(rows: Iterable[Row]) -> Mapping[datetime, Fingerprint]:
    """Rebuild what the hot tier holds of windows, by lower bound."""
    return {_utc(row["lower"]): Fingerprint.parse(rows=row["rows"], hexadecimal=row["digest"]) for row in rows}


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
        "base_rows": None if batch.base is None else batch.base.rows,
        "base_digest": None if batch.base is None else batch.base.hex,
        "revision": batch.revision,
        "lateness": None if batch.lateness is None else list(batch.lateness),
        "topic": None if at is None else at.topic,
        "partition": None if at is None else at.partition,
        "offset": None if at is None else at.offset,
        "event_id": trigger.event_id,
        "trace_id": trigger.trace_id,
        "epoch": claim.epoch,
        "owner": claim.owner,
    }


def proof_parameters(proof: Proof | None) -> dict[str, Any]:
    """Return what a publish records of the files that were read back."""
    return {
        "proof": None if proof is None else proof.policy.value,
        "proved_files": None if proof is None else proof.files,
        "proved_rows": None if proof is None else proof.content.rows,
        "proved_digest": None if proof is None else proof.content.hex,
    }


def _utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC)


def _utc_or_none(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.astimezone(UTC)
