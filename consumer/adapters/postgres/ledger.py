"""The port ``Ledger`` on Postgres: each method is one short transaction.

All but ``advance`` may be repeated after an unknown outcome, so only that one raises ``UnknownCommitError`` for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from consumer.adapters.postgres.comparisons import (
    accept_findings,
    compared,
    read_lateness,
    windows_of,
    write_comparison,
)
from consumer.adapters.postgres.database import Connection, Database
from consumer.adapters.postgres.events import event_from_json, event_to_row
from consumer.adapters.postgres.publishing import (
    check_continues,
    lock_stream,
    lock_window,
    send,
)
from consumer.adapters.postgres.rows import batch_parameters, batch_record, finding, stream_record
from consumer.adapters.postgres.schemas import schemas_to_json
from consumer.adapters.postgres.statements import statements
from consumer.adapters.postgres.together import together
from consumer.domain.batch import Batch, WrittenFile
from consumer.domain.errors import DivergenceError, LeaseHeldError, LedgerUnavailableError
from consumer.domain.event import Event
from consumer.domain.fence import check_binding, missing_row
from consumer.domain.reconcile import ComparedPartition, Finding, RecordedWindow
from consumer.domain.schema_history import SchemaHistory
from consumer.domain.window import BEGINNING, Window
from consumer.ports import BatchRecord, Claim, Comparison, OutboxMessage, StreamRecord, StreamState, Trigger

RELAY_CLAIM = timedelta(seconds=10)
"""How long an outbox message that one relay has taken is kept from the others, at most."""
_LONGEST_TEXT = 8_000


class PostgresLedger:
    """Watermarks, leases, batches, attempts, parked events and the outbox.

    Leases are judged by the server's clock. ``relay_claim`` is how long an outbox message that one relay has
    read is kept from the others: a relay that dies delays its messages by that much, and one that takes longer
    lets a message be sent twice, which its deterministic id makes harmless. None is lost: a message is removed
    only once Kafka has acknowledged it.
    """

    def __init__(self, database: Database, *, relay_claim: timedelta = RELAY_CLAIM) -> None:
        self._database = database
        self._relay_claim = relay_claim
        self._sql = statements("ledger")

    def register(self, stream: str, start: datetime = BEGINNING) -> StreamRecord:
        """Create the stream's row unless it exists, and return it; ``start`` counts until it is first claimed."""
        sql = self._sql
        *_, rows = self._database.ask(
            sql["register"],
            sql["start"],
            sql["read"],
            parameters={"stream": stream, "start": start, "streams": [stream]},
        )
        if not rows:
            raise missing_row(stream)
        return stream_record(rows[0])

    def read(self, streams: Sequence[str]) -> Mapping[str, StreamRecord]:
        """Return the records of the streams that have one."""
        (rows,) = self._database.ask(self._sql["read"], parameters={"streams": list(streams)})
        return {row["stream"]: stream_record(row) for row in rows}

    def final_until(self, streams: Sequence[str]) -> Mapping[str, datetime]:
        """Return up to where what is derived from the streams may go: the watermark, or the end of an open rewind."""
        (rows,) = self._database.ask(self._sql["final_until"], parameters={"streams": list(streams)})
        return {row["stream"]: row["until"].astimezone(UTC) for row in rows}

    def claim(self, stream: str, owner: str, ttl: timedelta) -> Claim:
        """Take the stream's lease and increment its epoch; in the same round trip, read what the owner needs first."""
        parameters = {"stream": stream, "owner": owner, "ttl": ttl, "streams": [stream]}
        try:
            claimed, standing, partitions = self._database.ask(
                self._sql["claim"], self._sql["standing"], statements("comparison")["partitions"], parameters=parameters
            )
        except LedgerUnavailableError as error:
            if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                raise _held(stream, "its row is locked by a transaction under way") from error
            raise
        if not claimed:
            held = self.read([stream]).get(stream)
            if held is None:
                raise missing_row(stream)
            raise _held(stream, f"{held.owner} holds it until {held.lease_expires}")
        record = stream_record(claimed[0])
        return Claim(
            stream=stream,
            owner=owner,
            epoch=record.epoch,
            record=record,
            backfilling=standing[0]["backfilling"],
            continuous=standing[0]["continuous"],
            compared=compared(partitions),
        )

    def renew(self, claim: Claim, ttl: timedelta) -> None:
        """Extend a lease."""
        with self._database.transaction(repeatable=True) as connection:
            if connection.execute(self._sql["renew"], {**_lease(claim), "ttl": ttl}).rowcount == 0:
                lock_stream(connection, claim)

    def release(self, claim: Claim) -> None:
        """Give a lease back; does nothing if the epoch has moved on."""
        # A release that got lost is an expiry that is waited for.
        self._database.ask(statements("session")["forgettable"], self._sql["release"], parameters=_lease(claim))

    def bind(self, claim: Claim, *, source_uuid: UUID, target_uuid: UUID, schemas: SchemaHistory | None = None) -> None:
        """Record which tables the stream is between, and what its source's columns were; under the fence.

        Raises:
            FencedError: if the epoch has moved on.
            SourceChangedError, DivergenceError: if it is bound to another source or target table already.
        """
        with self._database.transaction(repeatable=True) as connection:
            known = lock_stream(connection, claim)
            check_binding(
                stream=claim.stream,
                source_uuid=source_uuid,
                target_uuid=target_uuid,
                current_source=known.source_uuid,
                current_target=known.target_uuid,
            )
            connection.execute(
                self._sql["bind"],
                {
                    "stream": claim.stream,
                    "source_uuid": source_uuid,
                    "target_uuid": target_uuid,
                    "schemas": None if schemas is None else schemas_to_json(schemas),
                },
            )

    def begin(self, claim: Claim, batch: Batch, trigger: Trigger, prefix: str | None = None) -> None:
        """Record that a batch is being written, and below which path, and count the attempt; under the fence.

        Raises:
            FencedError: if the epoch has moved on.
            UnknownCommitError, DivergenceError: if the batch is published or empty already.
        """
        with self._database.transaction(repeatable=True) as connection:
            known = lock_stream(connection, claim)
            names = ("begin",) if prefix is None else ("begin", "stage_prefix")
            parameters = {**batch_parameters(claim, batch, trigger), "prefix": prefix}
            begun, *_ = together(connection, [self._sql[name] for name in names], parameters)
            if begun.touched == 0:
                check_continues(connection, batch, known)

    def stage(self, claim: Claim, batch_id: UUID, prefix: str, files: Sequence[WrittenFile]) -> None:
        """Record the attempt prefix, and the files that are below it.

        Raises:
            FencedError: if the epoch has moved on.
            DivergenceError: if the batch was not begun, or a path is recorded already with other content.
        """
        where = _attempt(claim, batch_id, prefix)
        with self._database.transaction(repeatable=True) as connection:
            lock_stream(connection, claim)
            connection.execute(self._sql["stage_prefix"], where)
            if files:
                staged = connection.execute(self._sql["stage_files"], {**where, **_columns(files)})
                if staged.rowcount != len(files):
                    raise DivergenceError(
                        f"stream {claim.stream}: a file under {prefix} is recorded already with other content",
                        remedy="no two attempts may write to one path: look at offload_files for the prefix",
                    )

    def advance(self, claim: Claim, batch: Batch, trigger: Trigger, outbox: Sequence[Event]) -> None:
        """Advance the watermark over an empty window, if it still equals the window's lower; under the fence."""
        parameters = batch_parameters(claim, batch, trigger)
        with self._database.transaction() as connection:
            lock_window(connection, claim, batch)
            together(connection, [self._sql[name] for name in ("extend_empty", "add_empty", "advance")], parameters)
            send(connection, outbox)

    def fail(self, claim: Claim, batch_id: UUID, error: str) -> None:
        """Record that an attempt failed for certain; does nothing where a newer owner attempts the batch."""
        with self._database.transaction(repeatable=True) as connection:
            connection.execute(
                self._sql["fail"],
                {"stream": claim.stream, "epoch": claim.epoch, "batch_id": batch_id, "error": _storable(error)},
            )

    def resolve(self, stream: str, batch_id: UUID) -> BatchRecord | None:
        """Read a batch after locking the stream's row, so that a transaction still open is waited out."""
        with self._database.transaction(repeatable=True, lock_timeout=self._database.patience) as connection:
            self._locked(connection, stream)
            # A statement of its own: its snapshot is taken after the lock was granted.
            row = connection.execute(self._sql["batch"], {"stream": stream, "batch_id": batch_id}).fetchone()
        return None if row is None else batch_record(row)

    def batches(self, stream: str, limit: int) -> Sequence[BatchRecord]:
        """Return the stream's latest batches, newest first."""
        with self._database.transaction(repeatable=True) as connection:
            rows = connection.execute(self._sql["batches"], {"stream": stream, "limit": limit}).fetchall()
        return [batch_record(row) for row in rows]

    def halt(self, stream: str, *, reason: str, remedy: str, epoch: int | None) -> bool:
        """Halt a stream; with ``epoch`` only if it is still the stream's. Tell whether the stream is halted now."""
        name = "halt" if epoch is None else "halt_at_epoch"
        with self._database.transaction(repeatable=True) as connection:
            halted = connection.execute(
                self._sql[name],
                {"stream": stream, "reason": _storable(reason), "remedy": _storable(remedy), "epoch": epoch},
            )
        return halted.rowcount > 0

    def pause(self, stream: str, *, reason: str, remedy: str) -> bool:
        """Halt an active stream and end its lease; return whether it was active.

        A second time, after an unknown outcome, it finds what the first has done.
        """
        told = {"stream": stream, "reason": _storable(reason), "remedy": _storable(remedy)}
        with self._database.transaction(repeatable=True, lock_timeout=self._database.patience) as connection:
            known = self._locked(connection, stream)
            if known.state is StreamState.HALTED:
                return (known.halt_reason, known.halt_remedy) == (told["reason"], told["remedy"])
            connection.execute(self._sql["pause"], told)
        return True

    def resume(self, stream: str) -> None:
        """Make a halted stream active again and move its parked events to the outbox.

        Raises:
            DivergenceError: if the ledger has no row for the stream.
        """
        with self._database.transaction(repeatable=True) as connection:
            self._locked(connection, stream)
            connection.execute(self._sql["activate"], {"stream": stream})
            connection.execute(self._sql["unpark"], {"stream": stream})

    def park(self, event: Event) -> None:
        """Keep an event of a halted stream; the same event twice is kept once.

        An event whose stream was resumed in the meantime goes straight to the outbox: nobody would take it up
        from among the parked.

        Raises:
            InvalidEventError: if the event can't be stored.
            DivergenceError: if the ledger has no row for the stream.
        """
        row = event_to_row(event)
        with self._database.transaction(repeatable=True) as connection:
            if self._locked(connection, event.stream).state is StreamState.HALTED:
                connection.execute(self._sql["park"], row)
            else:
                send(connection, [event])

    def parked(self, stream: str) -> Sequence[Event]:
        """Return the events kept for a halted stream, oldest first."""
        with self._database.transaction(repeatable=True) as connection:
            rows = connection.execute(self._sql["parked"], {"stream": stream}).fetchall()
        return [event_from_json(row["event"]) for row in rows]

    def partitions(self, stream: str) -> Mapping[str, ComparedPartition]:
        """Return the partitions of the source as they were last compared with the record, by id."""
        (rows,) = self._database.ask(statements("comparison")["partitions"], parameters={"stream": stream})
        return compared(rows)

    def windows(self, stream: str, within: Window) -> Sequence[RecordedWindow]:
        """Return the windows that are done and overlap ``within``, ascending."""
        sql = statements("comparison")
        parameters = {"stream": stream, "lower": within.lower, "upper": within.upper}
        return windows_of(*self._database.ask(sql["done"], sql["differences"], parameters=parameters))

    def lateness(self, stream: str) -> Sequence[int]:
        """Return how many rows of all supplements were how late."""
        with self._database.transaction(repeatable=True) as connection:
            return read_lateness(connection, stream)

    def findings(self, stream: str) -> Sequence[Finding]:
        """Return what was found in the hot tier, by window."""
        (rows,) = self._database.ask(statements("comparison")["findings"], parameters={"stream": stream})
        return [finding(row) for row in rows]

    def record_comparison(self, claim: Claim, comparison: Comparison) -> None:
        """Record the outcome of a comparison; under the fence."""
        with self._database.transaction(repeatable=True) as connection:
            lock_stream(connection, claim)
            write_comparison(connection, claim.stream, comparison)

    def accept(self, stream: str) -> int:
        """Accept every finding of a stream; return how many there were."""
        with self._database.transaction(repeatable=True) as connection:
            self._locked(connection, stream)
            return accept_findings(connection, stream)

    def outbox(self, limit: int) -> Sequence[OutboxMessage]:
        """Return events that are not relayed yet, oldest first, and keep them from other relays for a while."""
        with self._database.transaction(repeatable=True) as connection:
            rows = connection.execute(self._sql["outbox"], {"limit": limit, "claim": self._relay_claim}).fetchall()
        return [OutboxMessage(number=row["number"], event=event_from_json(row["event"])) for row in rows]

    def relayed(self, numbers: Sequence[int]) -> None:
        """Remove outbox messages that Kafka has acknowledged."""
        with self._database.transaction(repeatable=True) as connection:
            connection.execute(self._sql["relayed"], {"numbers": list(numbers)})

    def _locked(self, connection: Connection, stream: str) -> StreamRecord:
        row = connection.execute(self._sql["lock"], {"stream": stream}).fetchone()
        if row is None:
            raise missing_row(stream)
        return stream_record(row)


def _held(stream: str, by: str) -> LeaseHeldError:
    return LeaseHeldError(
        f"stream {stream}: the lease is not free: {by}",
        remedy="nothing has to be done: the event is held until the lease is free or the work is done",
    )


def _lease(claim: Claim) -> dict[str, Any]:
    return {"stream": claim.stream, "epoch": claim.epoch, "owner": claim.owner}


def _attempt(claim: Claim, batch_id: UUID, prefix: str) -> dict[str, Any]:
    return {"stream": claim.stream, "batch_id": batch_id, "prefix": prefix, "epoch": claim.epoch}


def _columns(files: Sequence[WrittenFile]) -> dict[str, Any]:
    return {
        "paths": [file.path for file in files],
        "units": [file.unit for file in files],
        "rows": [file.fingerprint.rows for file in files],
        "bytes": [file.bytes for file in files],
        "digests": [file.fingerprint.hex for file in files],
        "kept": [file.kept for file in files],
    }


def _storable(text: str) -> str:
    """What Postgres can hold of a message: no NUL, no half surrogate pair, of bounded length."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()[:_LONGEST_TEXT]
