"""The ledger's record of backfills (the port ``Backfills``), and their part of the publish transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from consumer.adapters.postgres.database import Connection, Database
from consumer.adapters.postgres.publishing import backfill_place, lock_stream, move_backfill, send
from consumer.adapters.postgres.rows import Row, batch_parameters, stream_record
from consumer.adapters.postgres.statements import statements
from consumer.domain.backfill import BackfillRequest, BackfillState, check_backfill, check_no_overlap, request_changed
from consumer.domain.batch import Batch
from consumer.domain.event import Event
from consumer.domain.fence import missing_row
from consumer.domain.window import Window
from consumer.ports import Claim, StreamRecord, Trigger


class PostgresBackfills:
    """One row for each request; rows are never removed. Every method may be repeated after an unknown outcome."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("backfill")

    def request(self, request: BackfillRequest, hint: Event) -> None:
        """Record a request, and put the hint for its stream into the outbox; the same request twice is kept once."""
        parameters = {
            "request_id": request.id,
            "stream": request.stream,
            "lower": request.window.lower,
            "upper": request.window.upper,
            "position": request.position,
            "requested_by": request.requested_by,
        }
        with self._database.transaction(repeatable=True) as connection:
            # Under the stream's lock no other request can come between the look and the row.
            _locked(connection, request.stream)
            others = [one for one in self._open(connection, request.stream) if one.id != request.id]
            check_no_overlap(request, others)
            if connection.execute(self._sql["request"], parameters).rowcount:
                send(connection, [hint])

    def cancel(self, stream: str, request: UUID | None) -> Sequence[BackfillRequest]:
        """Cancel an open request, or all of a stream's, and return them."""
        with self._database.transaction(repeatable=True) as connection:
            _locked(connection, stream)
            rows = connection.execute(self._sql["cancel"], {"stream": stream, "request_id": request}).fetchall()
        return [_request(row) for row in rows]

    def open(self, stream: str) -> Sequence[BackfillRequest]:
        """Return the stream's open requests, oldest first."""
        with self._database.transaction(repeatable=True) as connection:
            return self._open(connection, stream)

    def all(self, streams: Sequence[str]) -> Sequence[BackfillRequest]:
        """Return every request of these streams, newest first."""
        with self._database.transaction(repeatable=True) as connection:
            rows = connection.execute(self._sql["all"], {"streams": list(streams)}).fetchall()
        return [_request(row) for row in rows]

    def skip(self, claim: Claim, request: UUID, position: datetime) -> None:
        """Move an open request on over what was done before it; under the fence."""
        parameters = {"stream": claim.stream, "request_id": request, "position": position}
        with self._database.transaction(repeatable=True) as connection:
            lock_stream(connection, claim)
            if connection.execute(self._sql["skip"], parameters).rowcount != 1:
                raise request_changed(claim.stream, request)

    def pass_over(self, claim: Claim, batch: Batch, trigger: Trigger, outbox: Sequence[Event]) -> None:
        """Record a backfill's window without rows as done, and move its request on; under the fence."""
        parameters = batch_parameters(claim, batch, trigger)
        with self._database.transaction(repeatable=True) as connection:
            known = lock_stream(connection, claim)
            check_backfill(batch, backfill_place(connection, batch, known))
            connection.execute(statements("ledger")["add_empty"], parameters)
            move_backfill(connection, batch, parameters, rows=0, size=0)
            connection.execute(self._sql["note_empty"], parameters)
            send(connection, outbox)

    def _open(self, connection: Connection, stream: str) -> list[BackfillRequest]:
        return [_request(row) for row in connection.execute(self._sql["open"], {"stream": stream}).fetchall()]


def _locked(connection: Connection, stream: str) -> StreamRecord:
    row = connection.execute(statements("ledger")["lock"], {"stream": stream}).fetchone()
    if row is None:
        raise missing_row(stream)
    return stream_record(row)


def _request(row: Row) -> BackfillRequest:
    ended: Any = row["ended"]
    return BackfillRequest(
        id=row["request_id"],
        stream=row["stream"],
        window=Window(lower=row["lower"].astimezone(UTC), upper=row["upper"].astimezone(UTC)),
        position=row["position"].astimezone(UTC),
        state=BackfillState(row["state"]),
        windows=row["windows"],
        rows=row["rows"],
        bytes=row["bytes"],
        requested_by=row["requested_by"],
        requested=row["requested"].astimezone(UTC),
        ended=None if ended is None else ended.astimezone(UTC),
    )
