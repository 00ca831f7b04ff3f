"""Which batches go back to a snapshot or an event: what the ledger has recorded of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from uuid import UUID

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.rows import Row
from consumer.adapters.postgres.statements import statements
from consumer.domain.batch import BatchKind, BatchStatus
from consumer.domain.event import Coordinates
from consumer.domain.window import Window
from consumer.service.origins import Origin


class PostgresOrigins:
    """Reads the events and traces that batches were recorded with; see :class:`consumer.service.origins.Recorded`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("origins")

    def of_snapshot(self, snapshot_id: int) -> Sequence[Origin]:
        """Return the batches that a snapshot published: one for each stream with a snapshot of that id."""
        return self._read("of_snapshot", snapshot_id=snapshot_id)

    def of_batch(self, batch_id: UUID) -> Sequence[Origin]:
        """Return the batch of an id, if there is one."""
        return self._read("of_batch", batch_id=batch_id)

    def of_event(self, event_id: str) -> Sequence[Origin]:
        """Return the batches that were attempted on behalf of an event, oldest first."""
        return self._read("of_event", event_id=event_id)

    def _read(self, name: str, **parameters: int | str | UUID) -> Sequence[Origin]:
        with self._database.transaction(repeatable=True) as connection:
            rows = connection.execute(self._sql[name], parameters).fetchall()
        return [_origin(row) for row in rows]


def _origin(row: Row) -> Origin:
    at = None
    if row["kafka_topic"] is not None:
        at = Coordinates(topic=row["kafka_topic"], partition=row["kafka_partition"], offset=row["kafka_offset"])
    return Origin(
        stream=row["stream"],
        batch_id=row["batch_id"],
        kind=BatchKind(row["kind"]),
        status=BatchStatus(row["status"]),
        window=Window(lower=row["lower"].astimezone(UTC), upper=row["upper"].astimezone(UTC)),
        rows=row["rows"],
        snapshot_id=row["snapshot_id"],
        event_ids=tuple(row["event_ids"]),
        coordinates=at,
        trace_id=row["trace_id"],
        started=row["started"].astimezone(UTC),
        ended=None if row["ended"] is None else row["ended"].astimezone(UTC),
    )
