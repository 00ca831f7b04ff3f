"""What a rewind asks of the ledger besides the publish (the port ``RewindLedger``)."""

from __future__ import annotations

from datetime import datetime

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.publishing import lock_stream
from consumer.adapters.postgres.rewinding import check_place, last_rows, record_rewind
from consumer.adapters.postgres.rows import batch_parameters
from consumer.adapters.postgres.statements import statements
from consumer.domain.batch import Batch, Rewind
from consumer.ports import Claim, Trigger


class PostgresRewinds:
    """Reads what a rewind leaves, and rewinds where no row leaves the table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def last_rows(self, stream: str, before: datetime) -> datetime | None:
        """Return the upper bound of the last window with rows that ends at an instant or before it."""
        with self._database.transaction(repeatable=True) as connection:
            return last_rows(connection, stream, before)

    def set_back(self, claim: Claim, batch: Batch, rewind: Rewind, trigger: Trigger) -> None:
        """Rewind a stream over windows without rows, for which the table need not change; under the fence.

        Raises:
            FencedError: if the epoch has moved on, or that of a dependant that is held.
            StaleDifferenceError: if the ledger does not hold any more what was looked at.
            UnknownCommitError: if it is done already, or nobody knows whether the commit landed.
        """
        parameters = batch_parameters(claim, batch, trigger)
        with self._database.transaction() as connection:
            known = lock_stream(connection, claim)
            check_place(connection, batch, rewind, known, claim.owner)
            connection.execute(statements("ledger")["add_empty"], parameters)
            record_rewind(connection, batch, rewind, parameters, ())
