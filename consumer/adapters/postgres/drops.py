"""The ledger's record of partitions that are dropped from the hot tier (the port ``DropLog``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any
from uuid import UUID

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.publishing import lock_stream
from consumer.adapters.postgres.rows import Row
from consumer.adapters.postgres.statements import statements
from consumer.domain.fingerprint import Fingerprint
from consumer.domain.hot_drop import DropState, HotDrop, HotPartition
from consumer.domain.slices import DroppedRows
from consumer.domain.stream import TableName
from consumer.domain.window import Window
from consumer.ports import Claim


class PostgresDropLog:
    """One row for each drop; rows are never removed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("drops")

    def begin(self, claim: Claim, drop: HotDrop) -> None:
        """Record a drop before its partition is moved; under the fence."""
        partition = drop.partition
        self._change(
            claim,
            "begin",
            drop=drop.id,
            partition=partition.id,
            quarantine=str(drop.quarantine),
            lower=partition.window.lower,
            upper=partition.window.upper,
            content_id=partition.content_id,
            rows=partition.rows,
            bytes=partition.bytes,
            requested_by=drop.requested_by,
        )

    def verified(self, claim: Claim, drop: UUID, fingerprint: Fingerprint, snapshot_id: int | None) -> None:
        """Record what was found in quarantine, and that the cold tier holds it; under the fence."""
        found = {"rows": fingerprint.rows, "digest": fingerprint.hex, "snapshot_id": snapshot_id}
        self._change(claim, "verified", drop=drop, **found)

    def end(self, claim: Claim, drop: UUID, state: DropState, reason: str | None) -> None:
        """Record how a drop ended; under the fence."""
        self._change(claim, "end", drop=drop, state=state.value, reason=reason)

    def open(self, stream: str) -> Sequence[HotDrop]:
        """Return the drops that have not ended, oldest first."""
        return self._listed("open", stream)

    def gone(self, stream: str) -> Sequence[HotDrop]:
        """Return the drops whose rows have gone from the source, oldest first."""
        return self._listed("gone", stream)

    def restored(self, claim: Claim, drops: Sequence[UUID], reason: str) -> None:
        """Record that the rows of drops stand in the source again; under the fence."""
        self._change(claim, "restored", drops=list(drops), reason=reason)

    def dropped(self, stream: str) -> Sequence[DroppedRows]:
        """Return all that was ever dropped from the stream's source."""
        with self._database.transaction(repeatable=True) as connection:
            rows = connection.execute(self._sql["dropped"], {"stream": stream}).fetchall()
        return [
            DroppedRows(window=_window(row), fingerprint=Fingerprint.parse(rows=row["rows"], hexadecimal=row["digest"]))
            for row in rows
        ]

    def windows(self, stream: str) -> Sequence[Window]:
        """Return the stretches of time of partitions that were dropped, or are being dropped."""
        with self._database.transaction(repeatable=True) as connection:
            rows = connection.execute(self._sql["windows"], {"stream": stream}).fetchall()
        return [_window(row) for row in rows]

    def _listed(self, statement: str, stream: str) -> Sequence[HotDrop]:
        with self._database.transaction(repeatable=True) as connection:
            rows = connection.execute(self._sql[statement], {"stream": stream}).fetchall()
        return [_drop(row) for row in rows]

    def _change(self, claim: Claim, statement: str, **values: Any) -> None:  # noqa: ANN401 - what the row takes
        with self._database.transaction(repeatable=True) as connection:
            lock_stream(connection, claim)
            connection.execute(self._sql[statement], {"stream": claim.stream, "epoch": claim.epoch, **values})


def _drop(row: Row) -> HotDrop:
    fingerprint = None
    if row["digest"] is not None:
        fingerprint = Fingerprint.parse(rows=row["rows"], hexadecimal=row["digest"])
    return HotDrop(
        id=row["drop_id"],
        stream=row["stream"],
        partition=HotPartition(
            id=row["partition_id"],
            content_id=row["content_id"],
            rows=row["rows"],
            bytes=row["bytes"],
            window=_window(row),
        ),
        quarantine=TableName.parse(row["quarantine"]),
        requested_by=row["requested_by"],
        state=DropState(row["state"]),
        fingerprint=fingerprint,
        snapshot_id=row["snapshot_id"],
    )


def _window(row: Row) -> Window:
    return Window(lower=row["lower"].astimezone(UTC), upper=row["upper"].astimezone(UTC))
