"""What the ledger knows of files: :class:`consumer.service.audit.ports.AttemptRecords` on Postgres."""

from __future__ import annotations

from collections.abc import Sequence

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.statements import statements
from consumer.domain.audit import RecordedAttempt, RecordedFile
from consumer.domain.batch import BatchStatus


class PostgresAttempts:
    """Reads the tables of attempts and files."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("attempts")

    def attempts(self, stream: str) -> Sequence[RecordedAttempt]:
        """Return every prefix that an attempt at a batch of the stream was to write under."""
        with self._database.transaction(repeatable=True) as connection:
            rows = connection.execute(self._sql["attempts"], {"stream": stream}).fetchall()
        return [
            RecordedAttempt(prefix=row["prefix"], batch_id=row["batch_id"], status=BatchStatus(row["status"]))
            for row in rows
        ]

    def files(self, stream: str) -> Sequence[RecordedFile]:
        """Return every data file that an attempt at a batch of the stream reported."""
        with self._database.transaction(repeatable=True) as connection:
            rows = connection.execute(self._sql["files"], {"stream": stream}).fetchall()
        return [
            RecordedFile(
                path=row["path"],
                batch_id=row["batch_id"],
                bytes=row["bytes"],
                rows=row["rows"],
                status=BatchStatus(row["status"]),
            )
            for row in rows
        ]
