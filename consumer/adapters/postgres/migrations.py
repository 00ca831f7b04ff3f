"""Bringing the ledger's tables to the version of this program."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources

import psycopg

from consumer.adapters.postgres.database import Connection, Database
from consumer.adapters.postgres.failures import text_of
from consumer.adapters.postgres.statements import statements
from consumer.domain.errors import ConfigurationError

_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_LIMIT = timedelta(minutes=10)
_LOCK_WITHIN = timedelta(minutes=2)
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file of ``schemas/postgres``: never changed once it was applied anywhere."""

    version: int
    name: str
    sql: bytes

    @property
    def sha256(self) -> str:
        """Digest of the file's bytes."""
        return hashlib.sha256(self.sql).hexdigest()

    def __str__(self) -> str:
        return f"{self.version:04}_{self.name}.sql"


def shipped() -> Sequence[Migration]:
    """Return the migrations of this program, in order.

    Raises:
        ConfigurationError: if the versions are not 1, 2, 3, …
    """
    found = []
    for file in (resources.files("schemas") / "postgres").iterdir():
        match = _FILE.fullmatch(file.name)
        if match is not None:
            found.append(Migration(version=int(match[1]), name=match[2], sql=file.read_bytes()))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise ConfigurationError(
            f"the installed migrations are not numbered without gaps: {', '.join(map(str, found))}",
            remedy="install icehaul again",
        )
    return found


def migrate(database: Database, migrations: Sequence[Migration] | None = None) -> Sequence[Migration]:
    """Apply what is missing, all of it or nothing, and return it; safe to run in many processes at once.

    Raises:
        ConfigurationError: if the database is newer than this program, or an applied file has changed.
    """
    wanted = shipped() if migrations is None else migrations
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with database.transaction(repeatable=True, lock_timeout=_LOCK_WITHIN, limit=_LIMIT) as connection:
                return _apply(connection, wanted)
        except _RacedError as race:
            # An Iceberg client that does not take our lock has created its catalog's tables at this moment.
            if attempt == _ATTEMPTS:
                raise ConfigurationError(
                    f"migration {race.migration} can't be applied at {database.target}: {text_of(race.cause)}",
                    remedy="tables of these names are there already, made by somebody else: use another database",
                ) from race.cause
    raise AssertionError("unreachable: the last attempt returns or raises")


def pending(database: Database, migrations: Sequence[Migration] | None = None) -> Sequence[Migration]:
    """Return the migrations that are missing, without applying or locking anything.

    Raises:
        ConfigurationError: if the database is newer than this program, or an applied file has changed.
    """
    sql = statements("migrations")
    with database.transaction(repeatable=True) as connection:
        row = connection.execute(sql["exists"]).fetchone()
        known = _applied(connection) if row is not None and row["found"] else {}
    return _missing(shipped() if migrations is None else migrations, known)


def require_current(database: Database) -> None:
    """Check that the ledger's tables are those of this program.

    Raises:
        ConfigurationError: if a migration is missing, the database is newer, or an applied file has changed.
    """
    missing = pending(database)
    if missing:
        raise ConfigurationError(
            f"the ledger at {database.target} lacks {', '.join(map(str, missing))}", remedy="run `icehaul migrate`"
        )


class _RacedError(Exception):
    def __init__(self, migration: Migration, cause: psycopg.Error) -> None:
        super().__init__(str(cause))
        self.migration = migration
        self.cause = cause


def _apply(connection: Connection, wanted: Sequence[Migration]) -> Sequence[Migration]:
    sql = statements("migrations")
    connection.execute(sql["lock"])
    connection.execute(sql["create"])
    missing = _missing(wanted, _applied(connection))
    for migration in missing:
        try:
            connection.execute(migration.sql)
        except (psycopg.errors.DuplicateTable, psycopg.errors.UniqueViolation) as error:
            raise _RacedError(migration, error) from error
        connection.execute(
            sql["record"], {"version": migration.version, "name": migration.name, "sha256": migration.sha256}
        )
    return missing


def _applied(connection: Connection) -> Mapping[int, tuple[str, str]]:
    rows = connection.execute(statements("migrations")["applied"]).fetchall()
    return {row["version"]: (row["name"], row["sha256"]) for row in rows}


def _missing(wanted: Sequence[Migration], applied: Mapping[int, tuple[str, str]]) -> Sequence[Migration]:
    newest = len(wanted)
    newer = sorted(version for version in applied if version > newest)
    if newer:
        raise ConfigurationError(
            f"the ledger is at migration {newer[-1]:04} ({applied[newer[-1]][0]}), this program knows"
            f" {newest:04} as the last one",
            remedy="run the newer icehaul that migrated it; a ledger is never taken back to an older version",
        )
    for migration in wanted:
        known = applied.get(migration.version)
        if known is not None and known[1] != migration.sha256:
            raise ConfigurationError(
                f"migration {migration} was applied with SHA-256 {known[1]}, this program's has {migration.sha256}",
                remedy="an applied migration is never changed: install the icehaul that belongs to this ledger",
            )
    return [migration for migration in wanted if migration.version not in applied]
