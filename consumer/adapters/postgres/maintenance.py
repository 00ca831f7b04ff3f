"""The ledger's record of maintenance: the port ``MaintenanceLedger``."""

from __future__ import annotations

from datetime import UTC, datetime

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.publishing import lock_stream
from consumer.adapters.postgres.statements import statements
from consumer.domain.maintenance import TaskName
from consumer.ports import Claim


class PostgresMaintenance:
    """One row for each stream and task. Every method may be repeated after an unknown outcome."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("maintenance")

    def looked(self, stream: str, task: TaskName) -> tuple[datetime | None, datetime]:
        """Return when a task last found nothing more to do, and the clock; see :meth:`MaintenanceLedger.looked`."""
        ((row,),) = self._database.ask(self._sql["looked"], parameters={"stream": stream, "task": task.value})
        looked = row["looked"]
        return None if looked is None else looked.astimezone(UTC), row["now"].astimezone(UTC)

    def note(self, claim: Claim, task: TaskName) -> None:
        """Note that a task has nothing more to do now; see :meth:`MaintenanceLedger.note`."""
        parameters = {"stream": claim.stream, "task": task.value, "epoch": claim.epoch}
        with self._database.transaction(repeatable=True) as connection:
            lock_stream(connection, claim)
            connection.execute(self._sql["note"], parameters)

    def abandon(self, claim: Claim) -> int:
        """Record rewrites of former owners as failed; see :meth:`MaintenanceLedger.abandon`."""
        with self._database.transaction(repeatable=True) as connection:
            lock_stream(connection, claim)
            return connection.execute(self._sql["abandon"], {"stream": claim.stream, "epoch": claim.epoch}).rowcount
