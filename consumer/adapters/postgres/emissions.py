"""The emitter's lease and memory on Postgres (the port ``EmitterStore``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from consumer.adapters.postgres.database import Connection, Database
from consumer.adapters.postgres.statements import statements
from consumer.domain.emission import Emission, EmitterLease
from consumer.domain.errors import FencedError, LeaseHeldError

_NAME = "icehaul"


class PostgresEmitterStore:
    """Who emits, when it last ticked, and the last close that was sent for each partition."""

    def __init__(self, database: Database, *, name: str = _NAME) -> None:
        self._database = database
        self._name = name
        self._sql = statements("emitter")

    def acquire(self, owner: str, ttl: timedelta) -> EmitterLease:
        """Take the lease and increment its epoch.

        Raises:
            LeaseHeldError: if another owner's lease has not expired.
        """
        parameters = {"name": self._name, "owner": owner, "ttl": ttl}
        with self._database.transaction(repeatable=True) as connection:
            try:
                row = connection.execute(self._sql["acquire"], parameters).fetchone()
            except psycopg.errors.LockNotAvailable as error:
                raise _held("its row is locked by a transaction under way") from error
            if row is None:
                known = connection.execute(self._sql["read"], parameters).fetchone()
                raise _held(f"{known['owner']} has it" if known else "its row has just been removed")
        return EmitterLease(owner=owner, epoch=row["epoch"])

    def renew(self, lease: EmitterLease, ttl: timedelta) -> None:
        """Extend the lease.

        Raises:
            FencedError: if the epoch has moved on.
        """
        with self._database.transaction(repeatable=True) as connection:
            self._fence(connection, lease)
            connection.execute(self._sql["renew"], {**self._identity(lease), "ttl": ttl})

    def release(self, lease: EmitterLease) -> None:
        """Give the lease back; does nothing if the epoch has moved on."""
        with self._database.transaction(repeatable=True) as connection:
            connection.execute(self._sql["release"], self._identity(lease))

    def last_tick(self) -> datetime | None:
        """Return the boundary of the last tick that was recorded, ``None`` before the first."""
        with self._database.transaction(repeatable=True) as connection:
            row = connection.execute(self._sql["read"], {"name": self._name}).fetchone()
        if row is None or row["last_tick"] is None:
            return None
        boundary: datetime = row["last_tick"]
        return boundary.astimezone(UTC)

    def record_tick(self, lease: EmitterLease, boundary: datetime) -> None:
        """Record that the ticks of a boundary were acknowledged; under the fence; never goes back.

        Raises:
            FencedError: if the epoch has moved on.
        """
        with self._database.transaction(repeatable=True) as connection:
            self._fence(connection, lease)
            connection.execute(self._sql["tick"], {"name": self._name, "boundary": boundary})

    def emissions(self, streams: Sequence[str]) -> Sequence[Emission]:
        """Return the last recorded close of each partition of the streams."""
        with self._database.transaction(repeatable=True) as connection:
            rows = connection.execute(self._sql["emissions"], {"streams": list(streams)}).fetchall()
        return [Emission(**{**row, "cutoff": row["cutoff"].astimezone(UTC)}) for row in rows]

    def record_emissions(self, lease: EmitterLease, emissions: Sequence[Emission]) -> None:
        """Record closes that were acknowledged, replacing those of the same partitions; under the fence.

        Raises:
            FencedError: if the epoch has moved on.
        """
        with self._database.transaction(repeatable=True) as connection:
            self._fence(connection, lease)
            for emission in emissions:
                connection.execute(
                    self._sql["record"],
                    {
                        "stream": emission.stream,
                        "partition_id": emission.partition_id,
                        "content_id": emission.content_id,
                        "cutoff": emission.cutoff,
                        "event_id": emission.event_id,
                    },
                )

    def _identity(self, lease: EmitterLease) -> dict[str, Any]:
        return {"name": self._name, "owner": lease.owner, "epoch": lease.epoch}

    def _fence(self, connection: Connection, lease: EmitterLease) -> None:
        row = connection.execute(self._sql["lock"], {"name": self._name}).fetchone()
        if row is None or (row["owner"], row["epoch"]) != (lease.owner, lease.epoch):
            holder = "nobody" if row is None or row["owner"] is None else row["owner"]
            raise FencedError(
                f"emitter lease: {lease.owner} works at epoch {lease.epoch}, but it belongs to {holder}"
                f" at epoch {0 if row is None else row['epoch']}",
                remedy="nothing has to be done: its new owner emits",
            )


def _held(by: str) -> LeaseHeldError:
    return LeaseHeldError(
        f"emitter lease: it is not free: {by}",
        remedy="nothing has to be done: this emitter stands by until the lease is free",
    )
