"""A look at the ledger's server: version, settings, rights and clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from consumer.adapters.postgres.database import Connection, Database
from consumer.adapters.postgres.rights import Rights, Role, grant, rights
from consumer.adapters.postgres.statements import statements

_SETTINGS = (
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "idle_session_timeout",
    "transaction_timeout",
)
CATALOG = ("iceberg_tables", "iceberg_namespace_properties")
"""The tables of Iceberg's JDBC catalog, wherever it lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresFacts:
    """The server as a new session of this user finds it.

    Attributes:
        version: as ``server_version_num``: 160004 is 16.4.
        settings: by name, in the units of ``pg_settings``; a setting that the server does not know is not there.
        user: who this session is.
        lacking: rights on the ledger's tables that a consumer needs and the user does not have, by table.
    """

    version: int
    in_recovery: bool
    settings: Mapping[str, str]
    user: str
    lacking: Mapping[str, Sequence[str]]

    @property
    def grants(self) -> Sequence[str]:
        """The statements that give what is lacking."""
        return [grant(relation, privileges, self.user) for relation, privileges in self.lacking.items()]


def inspect(database: Database) -> PostgresFacts:
    """Read everything in one transaction; changes nothing.

    Raises:
        AccessDeniedError, ConfigurationError, LedgerUnavailableError
    """
    sql = statements("inspection")
    with database.transaction(repeatable=True) as connection:
        server = connection.execute(sql["server"]).fetchone() or {}
        settings = connection.execute(sql["settings"], {"names": list(_SETTINGS)}).fetchall()
        ungranted = _ungranted(connection, rights(Role.COMMITTER))
    return PostgresFacts(
        version=int(server["version"]),
        in_recovery=bool(server["in_recovery"]),
        settings={row["name"]: row["value"] for row in settings},
        user=str(server["session_user"]),
        lacking=ungranted,
    )


def lacking(database: Database, relations: Sequence[str]) -> Sequence[str]:
    """Return which of these tables are missing, and which rights on the others the user does not have.

    Raises:
        AccessDeniedError, ConfigurationError, LedgerUnavailableError
    """
    sql = statements("inspection")
    with database.transaction(repeatable=True) as connection:
        there = {row["relation"] for row in connection.execute(sql["there"], {"relations": list(relations)}).fetchall()}
        needed = rights(Role.COMMITTER)
        ungranted = _ungranted(connection, {relation: needed[relation] for relation in relations})
    missing = [f"the table {relation}" for relation in relations if relation not in there]
    return [*missing, *(f"{one} on {relation}" for relation, privileges in ungranted.items() for one in privileges)]


def _ungranted(connection: Connection, needed: Rights) -> Mapping[str, Sequence[str]]:
    """Return which of these rights the session's user does not have, by table; a table that is not there counts not."""
    pairs = [(relation, one) for relation, privileges in needed.items() for one in privileges]
    rows = connection.execute(
        statements("inspection")["lacking"],
        {"relations": [relation for relation, _ in pairs], "privileges": [one for _, one in pairs]},
    ).fetchall()
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["relation"], []).append(row["privilege"])
    return found


def now(database: Database) -> datetime:
    """Return the server's time in UTC.

    Raises:
        AccessDeniedError, ConfigurationError, LedgerUnavailableError
    """
    with database.transaction(repeatable=True) as connection:
        row = connection.execute(statements("inspection")["now"]).fetchone() or {}
    instant: datetime = row["now"]
    return instant.astimezone(UTC)
