"""The ledger's part of a recovery (the port ``RecoveryLedger``) on Postgres."""

from __future__ import annotations

from datetime import datetime

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.statements import statements


class PostgresRecoveries:
    """Gives streams that a ledger does not know a row."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("recovery")

    def make_room(self, stream: str, start: datetime, epoch: int) -> None:
        """Give a stream a row; see :meth:`RecoveryLedger.make_room`."""
        with self._database.transaction(repeatable=True) as connection:
            connection.execute(self._sql["make_room"], {"stream": stream, "start": start, "epoch": epoch})
