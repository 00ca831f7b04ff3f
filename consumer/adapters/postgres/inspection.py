"""A look at the ledger's server: version, settings, rights and clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.statements import statements

_SETTINGS = (
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "idle_session_timeout",
    "transaction_timeout",
)
_RELATIONS = (
    "schema_migrations",
    "offload_watermarks",
    "offload_batches",
    "offload_attempts",
    "offload_files",
    "offload_parked",
    "offload_outbox",
    "offload_emitter",
    "offload_emissions",
    "iceberg_tables",
    "iceberg_namespace_properties",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresFacts:
    """The server as a new session of this user finds it.

    Attributes:
        version: as ``server_version_num``: 160004 is 16.4.
        settings: by name, in the units of ``pg_settings``; a setting that the server does not know is not there.
        lacking: rights on the ledger's tables that the user does not have, such as ``UPDATE on offload_batches``.
    """

    version: int
    in_recovery: bool
    settings: Mapping[str, str]
    lacking: tuple[str, ...]


def inspect(database: Database) -> PostgresFacts:
    """Read everything in one transaction; changes nothing.

    Raises:
        AccessDeniedError, ConfigurationError, LedgerUnavailableError
    """
    sql = statements("inspection")
    with database.transaction(repeatable=True) as connection:
        server = connection.execute(sql["server"]).fetchone() or {}
        settings = connection.execute(sql["settings"], {"names": list(_SETTINGS)}).fetchall()
        lacking = connection.execute(sql["lacking"], {"relations": list(_RELATIONS)}).fetchall()
    return PostgresFacts(
        version=int(server["version"]),
        in_recovery=bool(server["in_recovery"]),
        settings={row["name"]: row["value"] for row in settings},
        lacking=tuple(f"{row['privilege']} on {row['relation']}" for row in lacking),
    )


def now(database: Database) -> datetime:
    """Return the server's time in UTC.

    Raises:
        AccessDeniedError, ConfigurationError, LedgerUnavailableError
    """
    with database.transaction(repeatable=True) as connection:
        row = connection.execute(statements("inspection")["now"]).fetchone() or {}
    instant: datetime = row["now"]
    return instant.astimezone(UTC)
