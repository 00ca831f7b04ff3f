"""The ledger's part of the one transaction that makes a batch visible.

The publisher opens :meth:`Database.transaction`, calls :func:`fence`, swaps the table's metadata pointer on the same
connection, then calls :func:`record`; the end of the block commits all of it, or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from consumer.adapters.postgres.comparisons import forget_window
from consumer.adapters.postgres.database import Connection
from consumer.adapters.postgres.events import event_to_row
from consumer.adapters.postgres.rows import batch_parameters, done_part, stream_record
from consumer.adapters.postgres.statements import statements
from consumer.domain.batch import Batch, BatchKind, BatchStatus
from consumer.domain.errors import DivergenceError
from consumer.domain.event import Event
from consumer.domain.fence import Position, check_content, check_fence, check_window, missing_row
from consumer.domain.reconcile import content_of
from consumer.ports import Claim, Publication, StreamRecord


def lock_stream(connection: Connection, claim: Claim) -> StreamRecord:
    """Lock the stream's row until the transaction ends, and check the epoch: a zombie stops here.

    Raises:
        FencedError: if the lease has moved on.
        DivergenceError: if the row is gone.
    """
    row = connection.execute(statements("ledger")["lock"], {"stream": claim.stream}).fetchone()
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


def check_continues(connection: Connection, batch: Batch, record: StreamRecord) -> None:
    """Check the predicate of a window against the locked record.

    Raises:
        UnknownCommitError: if the batch is done already, and has to be read back.
        DivergenceError: if the watermark is not the window's lower, or the ledger contradicts itself.
    """
    window = batch.window
    row = connection.execute(
        statements("publish")["position"],
        {
            "batch_id": batch.id,
            "stream": batch.stream,
            "generation": batch.generation,
            "lower": window.lower,
            "upper": window.upper,
        },
    ).fetchone()
    found = row or {"status": None, "overlapped": False}
    check_window(
        batch,
        Position(
            watermark=record.watermark,
            generation=record.generation,
            status=None if found["status"] is None else BatchStatus(found["status"]),
            overlapped=found["overlapped"],
        ),
    )


def fence(connection: Connection, publication: Publication) -> StreamRecord:
    """Lock the stream's row, check the epoch and the predicate of the batch; return the locked record.

    Raises:
        FencedError: if the lease has moved on.
        UnknownCommitError: if the batch is done already, and has to be read back.
        StaleDifferenceError: if the window of a supplement or replacement has got another content.
        DivergenceError: if the watermark is not the window's lower, or the ledger contradicts itself.
    """
    record = lock_stream(connection, publication.claim)
    if publication.batch.kind is BatchKind.WINDOW:
        check_continues(connection, publication.batch, record)
    else:
        _check_content(connection, publication.batch, record)
    return record


def _check_content(connection: Connection, batch: Batch, record: StreamRecord) -> None:
    """Check the predicate of a supplement or replacement against the locked record."""
    row = connection.execute(statements("publish")["status"], {"batch_id": batch.id}).fetchone()
    done = connection.execute(
        statements("comparison")["done"],
        {"stream": batch.stream, "lower": batch.window.lower, "upper": batch.window.upper},
    ).fetchall()
    check_content(
        batch,
        None if row is None else BatchStatus(row["status"]),
        content_of(map(done_part, done), batch.window),
        record.generation,
    )


def record(connection: Connection, publication: Publication, snapshot_id: int) -> None:
    """Record the batch as published, advance the watermark over a window, and put the events into the outbox.

    Called after ``fence``.

    Raises:
        DivergenceError: if a row was not as ``fence`` left it.
    """
    batch = publication.batch
    fingerprint = publication.fingerprint
    parameters = {
        **batch_parameters(publication.claim, batch, publication.trigger),
        "rows": fingerprint.rows,
        "bytes": sum(file.bytes for file in publication.files),
        "digest": fingerprint.hex,
        "snapshot_id": snapshot_id,
    }
    # Supplements and replacements leave the watermark where it is.
    note = "advance_over_rows" if batch.kind is BatchKind.WINDOW else "note_batch"
    for name in ("publish_batch", note):
        if connection.execute(statements("publish")[name], parameters).rowcount != 1:
            raise DivergenceError(
                f"stream {batch.stream}: {name} of batch {batch.id} {batch.window} touched no row",
                remedy="find out who changed the ledger (edited, restored from a backup), and put it back; then run"
                f" `icehaul resume {batch.stream}`",
            )
    if batch.kind is BatchKind.REPLACE:
        forget_window(connection, batch.stream, batch.window)
    send(connection, publication.outbox)


def send(connection: Connection, events: Sequence[Event]) -> None:
    """Put events into the outbox."""
    for event in events:
        connection.execute(statements("ledger")["send"], event_to_row(event))
