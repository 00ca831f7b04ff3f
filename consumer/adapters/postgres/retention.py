"""What the ledger lets go by itself (the port ``PrunableLedger``), on Postgres."""

from __future__ import annotations

from datetime import timedelta

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.statements import statements
from consumer.service.ledger_watch import Remains

_YOUNG = timedelta(minutes=1)
"""How old a parked event is at least that goes: what is parked at this moment is left alone."""


class PostgresRetention:
    """Deletes in small transactions, so that nobody waits for one; any number of consumers may do it at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("retention")

    def prune(self, remains: Remains, age: timedelta, limit: int) -> int:
        """Delete rows that nothing needs; see :meth:`PrunableLedger.prune`."""
        with self._database.transaction(repeatable=True) as connection:
            done = connection.execute(self._sql[remains.value], {"age": age, "young": _YOUNG, "limit": limit})
            return done.rowcount
