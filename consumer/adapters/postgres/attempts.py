"""What the ledger knows of files: :class:`consumer.service.audit.ports.AttemptRecords` on Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.statements import statements
from consumer.domain.audit import RecordedAttempt, RecordedFile
from consumer.domain.batch import BatchStatus
from consumer.domain.fingerprint import Fingerprint


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
        return [_file(row) for row in rows]


def _file(row: Mapping[str, Any]) -> RecordedFile:
    status = BatchStatus(row["status"])
    published = None
    if status is BatchStatus.PUBLISHED:
        published = Fingerprint.parse(rows=row["batch_rows"], hexadecimal=row["batch_digest"])
    return RecordedFile(
        path=row["path"],
        batch_id=row["batch_id"],
        bytes=row["bytes"],
        fingerprint=Fingerprint.parse(rows=row["rows"], hexadecimal=row["digest"]),
        status=status,
        published=published,
        kept=row["kept"],
        superseded=row["superseded"],
    )
