"""The ledger as the console reads it (the port ``History``): bounded answers, each by an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.publishing import read_streams
from consumer.adapters.postgres.rows import Row, batch_record, finding
from consumer.adapters.postgres.statements import statements
from consumer.domain.event import Coordinates
from consumer.domain.reconcile import Finding
from consumer.ports import BatchRecord
from consumer.service.console.ports import COUNT_LIMIT, BatchDetail, BatchPlace, FileRecord, StreamSummary

NEWEST = BatchPlace(started=datetime.max.replace(tzinfo=UTC), batch_id=UUID(int=2**128 - 1))
"""The place that every batch lies before."""


class PostgresHistory:
    """Looks at streams, batches and files; writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("console")

    def summaries(self, streams: Sequence[str]) -> tuple[datetime, Mapping[str, StreamSummary]]:
        """Return the ledger server's time, and the summaries of the streams that have a record."""
        wanted = {"streams": list(streams), "most": COUNT_LIMIT}
        with self._database.transaction(repeatable=True) as connection:
            records = read_streams(connection, streams)
            latest = connection.execute(self._sql["latest"], wanted).fetchall()
            standing = connection.execute(self._sql["open"], wanted).fetchall()
            clock = connection.execute(self._sql["now"]).fetchone() or {}
        batches = {row["stream"]: batch_record(row) for row in latest}
        now: datetime = clock["now"]
        found = {
            row["stream"]: StreamSummary(
                record=records[row["stream"]],
                latest=batches.get(row["stream"]),
                parked=row["parked"],
                findings=row["findings"],
                backfills=row["backfills"],
            )
            for row in standing
            if row["stream"] in records
        }
        return now.astimezone(UTC), found

    def findings(self, stream: str, limit: int) -> Sequence[Finding]:
        """Return what was found in the hot tier and nobody has accepted, by window."""
        with self._database.transaction(repeatable=True) as connection:
            rows = connection.execute(self._sql["findings"], {"stream": stream, "limit": limit}).fetchall()
        return [finding(row) for row in rows]

    def page(self, stream: str, limit: int, before: BatchPlace | None) -> Sequence[BatchRecord]:
        """Return batches in the order in which they were begun, newest first, from the newest or ``before`` a place."""
        place = before or NEWEST
        parameters = {"stream": stream, "limit": limit, "started": place.started, "batch_id": place.batch_id}
        with self._database.transaction(repeatable=True) as connection:
            rows = connection.execute(self._sql["page"], parameters).fetchall()
        return [batch_record(row) for row in rows]

    def batch(self, batch_id: UUID) -> BatchDetail | None:
        """Return a batch."""
        with self._database.transaction(repeatable=True) as connection:
            row = connection.execute(self._sql["batch"], {"batch_id": batch_id, "most": COUNT_LIMIT}).fetchone()
        return None if row is None else _detail(row)

    def files(self, batch_id: UUID, limit: int, after: str) -> Sequence[FileRecord]:
        """Return files of a batch by path, those above ``after`` (``""``: from the first)."""
        parameters = {"batch_id": batch_id, "limit": limit, "after": after}
        with self._database.transaction(repeatable=True) as connection:
            rows = connection.execute(self._sql["files"], parameters).fetchall()
        return [FileRecord(**{**row, "created": row["created"].astimezone(UTC)}) for row in rows]


def _detail(row: Row) -> BatchDetail:
    at = None
    if row["kafka_topic"] is not None:
        at = Coordinates(topic=row["kafka_topic"], partition=row["kafka_partition"], offset=row["kafka_offset"])
    return BatchDetail(
        batch=batch_record(row),
        owner=row["owner"],
        epoch=row["epoch"],
        coordinates=at,
        event_ids=row["event_ids"],
        files=row["files"],
    )
