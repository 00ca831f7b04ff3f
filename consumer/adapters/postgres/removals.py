"""The account of superfluous files: :class:`consumer.service.maintaining.removal_ports.RemovalLedger` on Postgres."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.publishing import lock_stream
from consumer.adapters.postgres.statements import statements
from consumer.domain.audit import StoredFile
from consumer.ports import Claim

ABANDONED = "the owner lost the lease while the batch was being written, and nobody has taken it up since"

_AT_ONCE = 10_000
"""How many files one transaction notes, so that the lock on the stream's row is held for a short time only."""


class PostgresRemovals:
    """Reads and writes ``offload_superfluous``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("removal")

    def found(self, stream: str) -> Mapping[str, timedelta]:
        """Return how long ago each file was found that is on the account, by path."""
        with self._database.transaction(repeatable=True) as connection:
            rows = connection.execute(self._sql["found"], {"stream": stream}).fetchall()
        return {row["path"]: row["age"] for row in rows}

    def close_attempts(self, claim: Claim) -> int:
        """Record as failed what earlier owners have left as being written; see :meth:`RemovalLedger.close_attempts`."""
        with self._database.transaction(repeatable=True) as connection:
            lock_stream(connection, claim)
            return connection.execute(
                self._sql["close_attempts"], {"stream": claim.stream, "epoch": claim.epoch, "error": ABANDONED}
            ).rowcount

    def note(self, claim: Claim, files: Sequence[StoredFile], gone: Collection[str]) -> None:
        """Put files on the account, and take others off; see :meth:`RemovalLedger.note`."""
        for start in range(0, len(files), _AT_ONCE):
            chunk = files[start : start + _AT_ONCE]
            parameters = {
                "stream": claim.stream,
                "paths": [file.path for file in chunk],
                "bytes": [file.bytes for file in chunk],
            }
            with self._database.transaction(repeatable=True) as connection:
                lock_stream(connection, claim)
                connection.execute(self._sql["note"], parameters)
        paths = list(gone)
        for start in range(0, len(paths), _AT_ONCE):
            with self._database.transaction(repeatable=True) as connection:
                lock_stream(connection, claim)
                connection.execute(
                    self._sql["forget"], {"stream": claim.stream, "paths": paths[start : start + _AT_ONCE]}
                )
