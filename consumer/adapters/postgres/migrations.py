"""Bringing the ledger's tables to the version of this program, beside consumers that go on working.

A program works with a ledger that has all of its migrations, and with a newer one as far as the newer migrations allow
it: each says which program is the oldest that works with it (docs/adr/0043-upgrades-expand-before-they-contract.md).
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources

import psycopg

from consumer.adapters.postgres.database import Connection, Database
from consumer.adapters.postgres.failures import text_of
from consumer.adapters.postgres.statements import statements
from consumer.domain.errors import ConfigurationError, LedgerUnavailableError
from consumer.service.runtime.deadline import Deadline

_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_OLDEST_PROGRAM = re.compile(rb"^-- oldest-program: (\d{4})$", re.MULTILINE)
_LIMIT = timedelta(minutes=10)
_PATIENCE = timedelta(minutes=2)
"""How long to try to get the locks that migrations need."""
_PAUSE_S = 1.0
"""Between two tries, for those who work with the tables."""
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

    @property
    def oldest_program(self) -> int:
        """The last migration that a program has to know to work with the ledger after this one.

        That is this one, unless the file says that it only adds (``-- oldest-program: 0015``).
        """
        found = _OLDEST_PROGRAM.search(self.sql)
        return self.version if found is None else int(found[1])

    def __str__(self) -> str:
        return f"{self.version:04}_{self.name}.sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Applied:
    """A migration as the ledger has recorded it; see :class:`Migration`."""

    name: str
    sha256: str
    oldest_program: int


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


def migrate(
    database: Database, migrations: Sequence[Migration] | None = None, *, patience: timedelta = _PATIENCE
) -> Sequence[Migration]:
    """Apply what is missing, all of it or nothing, and return it; safe to run in many processes at once.

    Consumers go on meanwhile: a lock on their tables is waited for half a second, then everything is given up, and
    tried again after a pause, for as long as ``patience`` lasts.

    Raises:
        ConfigurationError: if the ledger is too new for this program, or an applied file has changed.
        LedgerUnavailableError: if a lock was not to be had in time; nothing has changed.
    """
    wanted = shipped() if migrations is None else migrations
    deadline = Deadline.after(patience.total_seconds())
    races = 0
    while True:
        try:
            with database.transaction(repeatable=True, lock_timeout=_PATIENCE, limit=_LIMIT) as connection:
                return _apply(connection, wanted)
        except _RacedError as race:
            # An Iceberg client that does not take our lock has created its catalog's tables at this moment.
            races += 1
            if races == _ATTEMPTS:
                raise ConfigurationError(
                    f"migration {race.migration} can't be applied at {database.target}: {text_of(race.cause)}",
                    remedy="tables of these names are there already, made by somebody else: use another database",
                ) from race.cause
        except _BusyError as busy:
            if deadline.remaining < _PAUSE_S:
                raise LedgerUnavailableError(
                    f"migration {busy.migration} did not get its locks at {database.target} within"
                    f" {patience.total_seconds():g} s: {text_of(busy.cause)}",
                    remedy="nothing has changed; wait for the transaction that keeps them or end it (SELECT pid,"
                    " application_name, xact_start, query FROM pg_stat_activity ORDER BY xact_start), and run"
                    " `icehaul migrate` again",
                ) from busy.cause
            time.sleep(_PAUSE_S)


def pending(database: Database, migrations: Sequence[Migration] | None = None) -> Sequence[Migration]:
    """Return the migrations that are missing, without applying or locking anything.

    Raises:
        ConfigurationError: if the ledger is too new for this program, or an applied file has changed.
    """
    return _missing(shipped() if migrations is None else migrations, _recorded(database))


def newer(database: Database, migrations: Sequence[Migration] | None = None) -> Sequence[str]:
    """Return the migrations that a newer program has applied, in order, with which this one works too.

    Raises:
        ConfigurationError: as :func:`pending` does.
    """
    wanted, known = shipped() if migrations is None else migrations, _recorded(database)
    _missing(wanted, known)
    return [f"{version:04}_{known[version].name}.sql" for version in sorted(known) if version > len(wanted)]


def require_current(database: Database, migrations: Sequence[Migration] | None = None) -> None:
    """Check that this program works with the ledger's tables; to be asked before a process begins to work.

    Raises:
        ConfigurationError: if a migration is missing, the ledger is too new, or an applied file has changed.
        LedgerUnavailableError: if nobody can tell now.
    """
    missing = pending(database, migrations)
    if missing:
        raise ConfigurationError(
            f"the ledger at {database.target} lacks {', '.join(map(str, missing))}", remedy="run `icehaul migrate`"
        )


class _NotAppliedError(Exception):
    def __init__(self, migration: Migration, cause: psycopg.Error) -> None:
        super().__init__(str(cause))
        self.migration = migration
        self.cause = cause


class _RacedError(_NotAppliedError):
    """Somebody else has made a table at the same moment, or before."""


class _BusyError(_NotAppliedError):
    """Somebody works with a table that the migration has to lock."""


def _apply(connection: Connection, wanted: Sequence[Migration]) -> Sequence[Migration]:
    sql = statements("migrations")
    connection.execute(sql["lock"])
    connection.execute(sql["create"])
    row = connection.execute(sql["lacks_programs"]).fetchone()
    if row is not None and row["lacking"]:
        connection.execute(sql["add_programs"])
    connection.execute(statements("session")["polite"])
    missing = _missing(wanted, _applied(connection))
    for migration in missing:
        try:
            connection.execute(migration.sql)
        except (psycopg.errors.DuplicateTable, psycopg.errors.UniqueViolation) as error:
            raise _RacedError(migration, error) from error
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            raise _BusyError(migration, error) from error
        connection.execute(
            sql["record"],
            {
                "version": migration.version,
                "name": migration.name,
                "sha256": migration.sha256,
                "oldest_program": migration.oldest_program,
            },
        )
    return missing


def _recorded(database: Database) -> Mapping[int, _Applied]:
    with database.transaction(repeatable=True) as connection:
        row = connection.execute(statements("migrations")["exists"]).fetchone()
        return _applied(connection) if row is not None and row["found"] else {}


def _applied(connection: Connection) -> Mapping[int, _Applied]:
    rows = connection.execute(statements("migrations")["applied"]).fetchall()
    return {
        row["version"]: _Applied(name=row["name"], sha256=row["sha256"], oldest_program=row["oldest_program"])
        for row in rows
    }


def _missing(wanted: Sequence[Migration], applied: Mapping[int, _Applied]) -> Sequence[Migration]:
    """Return what is to be applied; a program that is too old for the ledger is refused."""
    newest = len(wanted)
    for version in sorted(applied, reverse=True):
        oldest = applied[version].oldest_program
        if version > newest and oldest > newest:
            raise ConfigurationError(
                f"the ledger is at migration {version:04} ({applied[version].name}), which works with programs that"
                f" know migration {oldest:04} or a newer one; this program knows {newest:04} as the last one",
                remedy="run a newer icehaul; a ledger is never taken back to an older version",
            )
    for migration in wanted:
        known = applied.get(migration.version)
        if known is not None and known.sha256 != migration.sha256:
            raise ConfigurationError(
                f"migration {migration} was applied with SHA-256 {known.sha256}, this program's has {migration.sha256}",
                remedy="an applied migration is never changed: install the icehaul that belongs to this ledger",
            )
    return [migration for migration in wanted if migration.version not in applied]
