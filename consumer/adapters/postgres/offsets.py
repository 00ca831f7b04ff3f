"""What the ledger remembers of offsets: those of the events on whose behalf batches are done."""

from __future__ import annotations

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.statements import statements


class PostgresOffsets:
    """Reads the coordinates that batches were recorded with."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("offsets")

    def last(self, topic: str, partition: int) -> int | None:
        """Return the largest offset of an event for which a batch is done; ``None`` if there is none.

        Raises:
            LedgerUnavailableError: if Postgres can't be asked now.
        """
        parameters = {"topic": topic, "partition": partition}
        with self._database.transaction(repeatable=True) as connection:
            row = connection.execute(self._sql["last"], parameters).fetchone()
        return None if row is None or row["last"] is None else int(row["last"])
