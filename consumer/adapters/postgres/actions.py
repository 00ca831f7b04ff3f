"""The ledger's record of what operators did (the port ``ActionLog``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from psycopg.types.json import Jsonb

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.rows import Row
from consumer.adapters.postgres.statements import statements
from consumer.domain.action import Action, ActionEntry, ActionPhase


class PostgresActionLog:
    """Rows of ``offload_actions``, which are added and never changed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("actions")

    def add(self, action: Action, phase: ActionPhase, detail: str = "") -> None:
        """Add an entry; time and database user are the server's."""
        values = {
            "action_id": action.action_id,
            "phase": phase.value,
            "operator": action.operator,
            "command": action.command,
            "streams": list(action.streams),
            "arguments": Jsonb(dict(action.arguments)),
            "reason": action.reason,
            "detail": detail,
        }
        with self._database.transaction() as connection:
            connection.execute(self._sql["add"], values)

    def latest(self, limit: int, stream: str | None = None) -> Sequence[ActionEntry]:
        """Return the latest entries, oldest first."""
        with self._database.transaction(repeatable=True) as connection:
            rows = connection.execute(self._sql["latest"], {"limit": limit, "stream": stream}).fetchall()
        return [_entry(row) for row in reversed(rows)]


def _entry(row: Row) -> ActionEntry:
    action = Action(
        action_id=row["action_id"],
        operator=row["operator"],
        command=row["command"],
        streams=tuple(row["streams"]),
        arguments=row["arguments"],
        reason=row["reason"],
    )
    return ActionEntry(
        action=action,
        phase=ActionPhase(row["phase"]),
        at=row["at"].astimezone(UTC),
        database_user=row["database_user"],
        detail=row["detail"],
    )
