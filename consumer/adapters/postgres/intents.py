"""Intents: commits to a catalog outside of this database that were about to be made, until their outcome is settled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.types.json import Jsonb
from pydantic import TypeAdapter

from consumer.adapters.postgres.database import Connection
from consumer.adapters.postgres.publishing import record_landed
from consumer.adapters.postgres.rows import batch_parameters
from consumer.adapters.postgres.statements import statements
from consumer.domain.divergence import repair_command
from consumer.domain.errors import DivergenceError
from consumer.ports import Claim, Landing, Publication

_LANDING = TypeAdapter(Landing)
_NOT_LANDED = "its commit to the catalog has not landed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A commit that was about to be made, and applies to one state of the table only.

    Attributes:
        snapshot_id: the snapshot that the commit adds.
        base_snapshot_id: the table's current snapshot that it demands; ``None`` for a table without one.
        landing: what the ledger records once the commit is found in the table.
    """

    snapshot_id: int
    stream: str
    batch_id: UUID
    base_snapshot_id: int | None
    landing: Landing


def intend(connection: Connection, publication: Publication, *, snapshot_id: int, base_snapshot_id: int | None) -> None:
    """Record that a batch is about to be committed; called after ``fence``, in the same transaction.

    Raises:
        DivergenceError: if the batch was not as ``fence`` left it.
    """
    claim, batch, sql = publication.claim, publication.batch, statements("intents")
    begun = connection.execute(sql["publishing"], batch_parameters(claim, batch, publication.trigger))
    if begun.rowcount != 1:
        raise DivergenceError(
            f"stream {batch.stream}: batch {batch.id} {batch.window} can't be published: the ledger has it as done",
            remedy=repair_command(batch.stream),
        )
    connection.execute(
        sql["intend"],
        {
            "snapshot_id": snapshot_id,
            "stream": claim.stream,
            "batch_id": batch.id,
            "base_snapshot_id": base_snapshot_id,
            "epoch": claim.epoch,
            "landing": Jsonb(_LANDING.dump_python(publication.landing, mode="json")),
        },
    )


def unsettled(connection: Connection, streams: Sequence[str]) -> list[Intent]:
    """Return the intents of streams whose outcome is not settled, oldest first."""
    rows = connection.execute(statements("intents")["unsettled"], {"streams": list(streams)}).fetchall()
    return [
        Intent(
            snapshot_id=row["snapshot_id"],
            stream=row["stream"],
            batch_id=row["batch_id"],
            base_snapshot_id=row["base_snapshot_id"],
            landing=_LANDING.validate_python(row["landing"], strict=False),
        )
        for row in rows
    ]


def settle_landed(connection: Connection, claim: Claim, intent: Intent, snapshot_id: int) -> None:
    """Record an intent that is found in the table as published; called with the stream's row locked.

    Raises:
        DivergenceError: if the ledger is not where the batch was to be published.
    """
    record_landed(connection, claim, intent.landing, snapshot_id)
    settle(connection, claim.stream, [intent.snapshot_id])


def settle(connection: Connection, stream: str, snapshot_ids: Iterable[int]) -> None:
    """Forget intents whose outcome is known; a batch of which none is left, and that is not published, has failed."""
    sql = statements("intents")
    connection.execute(sql["settle"], {"stream": stream, "snapshot_ids": list(snapshot_ids)})
    connection.execute(sql["not_landed"], {"stream": stream, "error": _NOT_LANDED})
