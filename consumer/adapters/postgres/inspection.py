"""A look at the ledger's server: version, settings, rights and clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.rights import Role, grant, rights
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
        needed = [(table, one) for table, privileges in rights(Role.COMMITTER).items() for one in privileges]
        relations, privileges = zip(*needed, strict=True)
        rows = connection.execute(
            sql["lacking"], {"relations": list(relations), "privileges": list(privileges)}
        ).fetchall()
    lacking: dict[str, list[str]] = {}
    for row in rows:
        lacking.setdefault(row["relation"], []).append(row["privilege"])
    return PostgresFacts(
        version=int(server["version"]),
        in_recovery=bool(server["in_recovery"]),
        settings={row["name"]: row["value"] for row in settings},
        user=str(server["session_user"]),
        lacking=lacking,
    )


def lacking(database: Database, relations: Sequence[str]) -> Sequence[str]:
    """Return which of these tables are missing, and which rights on the others the user does not have.

    Raises:
        AccessDeniedError, ConfigurationError, LedgerUnavailableError
    """
    sql = statements("inspection")
    with database.transaction(repeatable=True) as connection:
        there = {row["relation"] for row in connection.execute(sql["there"], {"relations": list(relations)}).fetchall()}
        rights = connection.execute(sql["lacking"], {"relations": list(relations)}).fetchall()
    missing = [f"the table {relation}" for relation in relations if relation not in there]
    return [*missing, *(f"{row['privilege']} on {row['relation']}" for row in rights)]


def now(database: Database) -> datetime:
    """Return the server's time in UTC.

    Raises:
        AccessDeniedError, ConfigurationError, LedgerUnavailableError
    """
    with database.transaction(repeatable=True) as connection:
        row = connection.execute(statements("inspection")["now"]).fetchone() or {}
    instant: datetime = row["now"]
    return instant.astimezone(UTC)
