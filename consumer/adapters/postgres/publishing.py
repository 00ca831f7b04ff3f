"""The ledger's part of a publish.

The publisher opens :meth:`Database.transaction`, calls :func:`fence`, swaps the table's metadata pointer on the same
connection, then calls :func:`record`; the end of the block commits all of it, or nothing. Where the catalog lies in
another place, fence and record are two transactions, with the commit to the catalog between them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from psycopg.rows import DictRow

from consumer.adapters.postgres.comparisons import forget_window
from consumer.adapters.postgres.database import Connection
from consumer.adapters.postgres.events import event_to_row
from consumer.adapters.postgres.rewinding import check_place, record_rewind
from consumer.adapters.postgres.rows import batch_parameters, done_part, proof_parameters, stream_record
from consumer.adapters.postgres.statements import statements
from consumer.adapters.postgres.together import together
from consumer.domain.adoption import Adoption, check_adoption
from consumer.domain.backfill import BackfillPlace, check_backfill, request_changed
from consumer.domain.batch import Batch, BatchKind, BatchStatus
from consumer.domain.compaction import check_rewrite
from consumer.domain.divergence import repair_command
from consumer.domain.errors import BackfillChangedError, DivergenceError
from consumer.domain.event import Event
from consumer.domain.fence import Position, check_chain, check_content, check_fence, check_window, missing_row
from consumer.domain.reconcile import content_of
from consumer.ports import Claim, Landing, Publication, StreamRecord

# What is noted of a stream with a batch of a kind: only a window moves the watermark, and a rewrite changes no row.
_NOTES: Mapping[BatchKind, tuple[str, str]] = MappingProxyType(
    {
        BatchKind.WINDOW: ("publish", "advance_over_rows"),
        BatchKind.SUPPLEMENT: ("publish", "note_batch"),
        BatchKind.REPLACE: ("publish", "note_batch"),
        BatchKind.REWIND: ("publish", "note_batch"),
        BatchKind.BACKFILL: ("backfill", "note_rows"),
    }
)


def lock_stream(connection: Connection, claim: Claim) -> StreamRecord:
    """Lock the stream's row until the transaction ends, and check the epoch: a zombie stops here.

    Raises:
        FencedError: if the lease has moved on.
        DivergenceError: if the row is gone.
    """
    return _held(connection.execute(statements("ledger")["lock"], {"stream": claim.stream}).fetchone(), claim)


def lock_window(connection: Connection, claim: Claim, batch: Batch) -> StreamRecord:
    """Lock the stream's row as :func:`lock_stream` does, and check that a window continues what is done.

    The three statements take one round trip; each sees what was committed before it, after the lock was granted.

    Raises:
        FencedError: if the lease has moved on.
        UnknownCommitError: if the batch is done already, and has to be read back.
        DivergenceError: if the watermark is not the window's lower, windows that are done do not lead to it, or the
            ledger contradicts itself.
    """
    sql = statements("publish")
    locked, position, chain = together(
        connection, (statements("ledger")["lock"], sql["position"], sql["chain"]), _place(batch)
    )
    record = _held(locked.row, claim)
    _continues(batch, record, position.row)
    _whole(record, chain.row)
    return record


def _held(row: DictRow | None, claim: Claim) -> StreamRecord:
    if row is None:
        raise missing_row(claim.stream)
    record = stream_record(row)
    check_fence(
        stream=claim.stream,
        epoch=claim.epoch,
        owner=claim.owner,
        current_epoch=record.epoch,
        current_owner=record.owner,
    )
    return record


def check_whole(connection: Connection, record: StreamRecord) -> None:
    """Check that the live windows that are done lead from the start to the watermark of the locked record.

    Raises:
        DivergenceError: if somebody has edited the watermark, or deleted batches.
    """
    _whole(record, connection.execute(statements("publish")["chain"], {"stream": record.stream}).fetchone())


def _whole(record: StreamRecord, row: DictRow | None) -> None:
    covered = timedelta(0) if row is None else row["covered"]
    check_chain(record.stream, start=record.start, watermark=record.watermark, covered=covered)


def read_streams(connection: Connection, streams: Sequence[str]) -> Mapping[str, StreamRecord]:
    """Return the records of the streams that have one, without locking them."""
    rows = connection.execute(statements("ledger")["read"], {"streams": list(streams)}).fetchall()
    return {row["stream"]: stream_record(row) for row in rows}


def check_continues(connection: Connection, batch: Batch, record: StreamRecord) -> None:
    """Check the predicate of a window against the locked record.

    Raises:
        UnknownCommitError: if the batch is done already, and has to be read back.
        DivergenceError: if the watermark is not the window's lower, or the ledger contradicts itself.
    """
    _continues(batch, record, connection.execute(statements("publish")["position"], _place(batch)).fetchone())


def _continues(batch: Batch, record: StreamRecord, row: DictRow | None) -> None:
    status, overlapped = _standing(row)
    check_window(
        batch,
        Position(watermark=record.watermark, generation=record.generation, status=status, overlapped=overlapped),
    )


def _place(batch: Batch) -> dict[str, Any]:
    return {"batch_id": batch.id, "stream": batch.stream, "lower": batch.window.lower, "upper": batch.window.upper}


def _standing(row: DictRow | None) -> tuple[BatchStatus | None, bool]:
    """Return the batch's status, and whether a window that is done overlaps it."""
    found = row or {"status": None, "overlapped": False}
    return None if found["status"] is None else BatchStatus(found["status"]), bool(found["overlapped"])


def backfill_place(connection: Connection, batch: Batch, record: StreamRecord) -> BackfillPlace:
    """Return where the ledger has a backfill batch, under the lock of its stream's row."""
    status, overlapped = _standing(connection.execute(statements("publish")["position"], _place(batch)).fetchone())
    request = connection.execute(
        statements("backfill")["position"], {"stream": batch.stream, "request_id": batch.request}
    ).fetchone()
    return BackfillPlace(
        status=status,
        overlapped=overlapped,
        position=None if request is None else request["position"],
        start=record.start,
        generation=record.generation,
    )


def move_backfill(connection: Connection, batch: Batch, parameters: Mapping[str, Any], *, rows: int, size: int) -> None:
    """Move the request of a backfill batch to the end of its window, and add up what was done.

    Raises:
        BackfillChangedError: if it is not open any more, or further on.
    """
    counted = {**parameters, "request_id": batch.request, "rows": rows, "bytes": size}
    if connection.execute(statements("backfill")["move"], counted).rowcount != 1:
        raise request_changed(batch.stream, batch.request)


def fence(connection: Connection, publication: Publication) -> StreamRecord:
    """Lock the stream's row, check the epoch and the predicate of the batch; return the locked record.

    Raises:
        FencedError: if the lease has moved on, or one on a dependant that a rewind holds.
        UnknownCommitError: if the batch is done already, and has to be read back.
        StaleDifferenceError: if the window of a supplement or replacement has got another content, or one of a rewind,
            or a rewrite is of another generation.
        BackfillChangedError: if a backfill's request is not open any more, or further on.
        DivergenceError: if the watermark is not the window's lower, windows that are done do not lead to it, or the
            ledger contradicts itself.
    """
    if publication.adoption is None and publication.batch.kind is BatchKind.WINDOW:
        return lock_window(connection, publication.claim, publication.batch)
    record = lock_stream(connection, publication.claim)
    if publication.adoption is not None:
        status, _ = _standing(
            connection.execute(statements("publish")["position"], _place(publication.batch)).fetchone()
        )
        check_adoption(publication.batch, publication.adoption, status, record.start, unread=record.unread)
    elif publication.batch.kind is BatchKind.BACKFILL:
        check_backfill(publication.batch, backfill_place(connection, publication.batch, record))
    elif publication.batch.rewind is not None:
        check_place(connection, publication.batch, publication.batch.rewind, record, publication.claim.owner)
    elif publication.batch.kind is BatchKind.MAINTENANCE:
        check_rewrite(publication.batch, _status(connection, publication.batch), record.generation)
    else:
        _check_content(connection, publication.batch, record)
    check_whole(connection, record)
    return record


def _check_content(connection: Connection, batch: Batch, record: StreamRecord) -> None:
    """Check the predicate of a supplement or replacement against the locked record."""
    done = connection.execute(
        statements("comparison")["done"],
        {"stream": batch.stream, "lower": batch.window.lower, "upper": batch.window.upper},
    ).fetchall()
    check_content(
        batch,
        _status(connection, batch),
        content_of(map(done_part, done), batch.window),
        record.generation,
    )


def _status(connection: Connection, batch: Batch) -> BatchStatus | None:
    row = connection.execute(statements("publish")["status"], {"batch_id": batch.id}).fetchone()
    return None if row is None else BatchStatus(row["status"])


def record(connection: Connection, publication: Publication, snapshot_id: int) -> None:
    """Record the batch as published, advance the watermark over a window, and put the events into the outbox.

    Called after ``fence``.

    Raises:
        DivergenceError: if a row was not as ``fence`` left it.
    """
    batch, landing = publication.batch, publication.landing
    parameters = _parameters(publication.claim, landing, snapshot_id)
    if batch.kind is BatchKind.BACKFILL:
        move_backfill(connection, batch, parameters, rows=landing.fingerprint.rows, size=landing.bytes)
    _record(connection, landing, parameters)


def record_landed(connection: Connection, claim: Claim, landing: Landing, snapshot_id: int) -> None:
    """Record what is in the table already; called with the stream's row locked.

    Nothing can be refused any more: a backfill whose request was cancelled meanwhile is in the table nevertheless.

    Raises:
        DivergenceError: if the ledger is not where the batch was to be published.
    """
    parameters = _parameters(claim, landing, snapshot_id)
    if landing.batch.kind is BatchKind.BACKFILL:
        with contextlib.suppress(BackfillChangedError):
            move_backfill(connection, landing.batch, parameters, rows=landing.fingerprint.rows, size=landing.bytes)
    _record(connection, landing, parameters)


def _parameters(claim: Claim, landing: Landing, snapshot_id: int) -> dict[str, Any]:
    return {
        **batch_parameters(claim, landing.batch, landing.trigger),
        **proof_parameters(landing.proof),
        "rows": landing.fingerprint.rows,
        "bytes": landing.bytes,
        "digest": landing.fingerprint.hex,
        "snapshot_id": snapshot_id,
    }


def _record(connection: Connection, landing: Landing, parameters: dict[str, Any]) -> None:
    batch = landing.batch
    note = _NOTES.get(batch.kind)
    if landing.adoption is not None:
        _record_adopted(connection, landing.adoption, parameters)
        note = ("publish", "advance_over_adopted")
    steps = [one for one in (("publish", "publish_batch"), note) if one is not None]
    answers = together(connection, [statements(file)[name] for file, name in steps], parameters)
    for (_, name), answer in zip(steps, answers, strict=True):
        if answer.touched != 1:
            raise DivergenceError(
                f"stream {batch.stream}: {name} of batch {batch.id} {batch.window} touched no row",
                remedy=repair_command(batch.stream),
            )
    if batch.rewind is not None:
        record_rewind(connection, batch, batch.rewind, parameters, landing.files)
    if batch.kind is BatchKind.REPLACE:
        forget_window(connection, batch.stream, batch.window)
    send(connection, landing.outbox)


def _record_adopted(connection: Connection, adoption: Adoption, parameters: Mapping[str, Any]) -> None:
    """Record the windows of an adoption, but for the last one, which is recorded as the publish's own batch."""
    rows = [
        {
            **parameters,
            "batch_id": one.id,
            "lower": one.window.lower,
            "upper": one.window.upper,
            "rows": one.fingerprint.rows,
            "digest": one.fingerprint.hex,
        }
        for one in adoption.windows[:-1]
    ]
    with connection.cursor() as cursor:
        cursor.executemany(statements("publish")["publish_batch"], rows)


def send(connection: Connection, events: Sequence[Event]) -> None:
    """Put events into the outbox."""
    for event in events:
        connection.execute(statements("ledger")["send"], event_to_row(event))
