"""What a failure of Postgres means to the service."""

from __future__ import annotations

import re

import psycopg
from psycopg import errors

from consumer.adapters.postgres.rights import Role, grant, rights
from consumer.domain.encryption import POSTGRES, untrusted
from consumer.domain.errors import (
    AccessDeniedError,
    ConfigurationError,
    DivergenceError,
    IcehaulError,
    LedgerUnavailableError,
)

LEDGER_DSN = "postgres.dsn"
"""The field that names the ledger's database."""

# libpq gives no SQLSTATE for a refused connection, only the server's text (and PgBouncer's own wording).
_WRONG_CREDENTIALS = re.compile(
    r"password authentication failed|no password supplied|authentication failed|no pg_hba\.conf entry"
    r"|no such user|role \"[^\"]*\" (does not exist|is not permitted to log in)|permission denied for database",
    re.IGNORECASE,
)
# pg_hba.conf has hostssl lines only, for this user or database.
_ENCRYPTION_WANTED = re.compile(r"no pg_hba\.conf entry for .*no encryption|requires? SSL", re.IGNORECASE)
_NO_DATABASE = re.compile(r"database \"[^\"]*\" does not exist|no such database", re.IGNORECASE)

_DENIED_TABLE = re.compile(r"permission denied for (?:table|view|relation) (\w+)")

_PASSING = (
    psycopg.OperationalError,  # lost connections, 40001, 40P01, 53xxx, 55P03, 57xxx, 58xxx
    psycopg.InterfaceError,  # the connection was closed under our hands
    errors.ReadOnlySqlTransaction,
    errors.IdleInTransactionSessionTimeout,
    errors.TransactionTimeout,
)

_RESOURCES: tuple[tuple[type[psycopg.Error], str], ...] = (
    (errors.DiskFull, "free space on the disk of the Postgres server, its tablespaces and its WAL"),
    (errors.OutOfMemory, "give the Postgres server more memory, or lower its work_mem"),
    (errors.TooManyConnections, "raise max_connections of the Postgres server, or lower postgres.pool_size"),
)
"""What Postgres says that it has run out of (SQLSTATE class 53), and what helps."""

# Integrity constraints, the transaction's state, serialization and deadlocks: the server's own refusals.
_REFUSALS = ("23", "25", "40")
_COMPLETION_UNKNOWN = "40003"


def refuses_commit(error: psycopg.Error) -> bool:
    """Tell whether the answer to a COMMIT means that it has certainly not landed.

    Any other answer may come from a pooler that lost the server after it had passed the COMMIT on.
    """
    state = error.sqlstate
    return state is not None and state.startswith(_REFUSALS) and state != _COMPLETION_UNKNOWN


def text_of(error: BaseException) -> str:
    """Return the server's message on one line."""
    return " ".join(str(error).split())


def connection_failure(error: BaseException, *, target: str, user: str, setting: str = LEDGER_DSN) -> IcehaulError:
    """Translate a connection that could not be made; ``target`` names host, port and database."""
    text = text_of(error)
    if _ENCRYPTION_WANTED.search(text):
        return AccessDeniedError(
            f"{setting}: Postgres at {target} takes no unencrypted connection of user {user!r}: {text}",
            remedy=f"add sslmode=verify-full and sslrootcert=FILE to {setting}",
        )
    if distrust := untrusted(f"Postgres at {target}", text, POSTGRES):
        return distrust
    if _WRONG_CREDENTIALS.search(text):
        return AccessDeniedError(
            f"{setting}: user {user!r} may not log in to {target}: {text}",
            remedy=f"correct user and password in {setting}, or run: ALTER ROLE {user} LOGIN PASSWORD …",
        )
    if _NO_DATABASE.search(text):
        return ConfigurationError(
            f"{setting}: the database does not exist at {target}: {text}",
            remedy=f"correct the database in {setting}, or create it (CREATE DATABASE) and run `icehaul migrate`",
        )
    return LedgerUnavailableError(
        f"Postgres at {target} does not take connections: {text}",
        remedy=f"start the server, or correct host, port and sslmode in {setting}",
    )


def _grant(text: str, user: str) -> str:
    """Return the statement that gives what the server refused; it names the table, and not what was tried with it."""
    found = _DENIED_TABLE.search(text)
    if found is None:
        return (
            "run `icehaul migrate` as the owner of the ledger's tables (icehaul_owner); a new owner needs:"
            f" GRANT USAGE, CREATE ON SCHEMA public TO {user}"
        )
    table = found[1]
    usual, most = (rights(role).get(table, frozenset({"SELECT"})) for role in (Role.COMMITTER, Role.MAINTENANCE))
    remedy = f"run as the tables' owner: {grant(table, usual, user)}"
    if most != usual:
        remedy += f" (for `icehaul stream` commands: {grant(table, most, user)})"
    return remedy


def statement_failure(error: psycopg.Error, *, user: str, setting: str = LEDGER_DSN) -> IcehaulError | None:
    """Translate the failure of a transaction that has certainly not landed.

    Returns ``None`` for what is a defect of the program and nothing else (a syntax error, a wrong type).
    """
    text = text_of(error)
    if isinstance(error, errors.InsufficientPrivilege):
        return AccessDeniedError(f"{setting}: user {user!r} lacks a grant: {text}", remedy=_grant(text, user))
    if isinstance(error, errors.UndefinedTable | errors.UndefinedColumn | errors.InvalidSchemaName):
        return ConfigurationError(
            f"the ledger's tables are missing or of another version: {text}", remedy="run `icehaul migrate`"
        )
    if isinstance(error, psycopg.IntegrityError):
        return DivergenceError(
            f"the ledger refuses a state that can't be: {text}",
            remedy="compare the ledger with the target table; somebody may have edited the ledger's tables",
        )
    if isinstance(error, _PASSING):
        return LedgerUnavailableError(
            f"Postgres ended the transaction: {text}",
            remedy=f"nothing landed and it is tried again by itself{_resource_remedy(error)}",
        )
    return None


def _resource_remedy(error: psycopg.Error) -> str:
    remedy = next((remedy for kind, remedy in _RESOURCES if isinstance(error, kind)), None)
    return "" if remedy is None else f"; {remedy}"
