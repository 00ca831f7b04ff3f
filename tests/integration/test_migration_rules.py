"""Migrations add, and take nothing from programs that know the tables as they were: expand first, contract later."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from pydantic import SecretStr

from consumer.adapters.postgres.database import Database
from consumer.adapters.postgres.migrations import migrate, shipped
from consumer.settings.connections import PostgresSettings
from tests.support.ledger_shape import narrowings, shape_of
from tests.support.postgres_server import PostgresServer, running_postgres

ASKED_FROM = 16
"""The first migration that meets programs which ask whether they work with a newer ledger."""

_NEW_KINDS = "binds kinds of batches, or states, that programs of before do not write"
_LOOSER = "says less than the constraint of the same purpose before it"
_SAME = "is what the index before it said, over more kinds of batches, one of which is newer than programs of before"
ARGUED: dict[int, dict[str, str]] = {
    4: {"offload_batches: a_supplement_has_a_base": _NEW_KINDS},
    6: {
        "offload_batches: a_replacement_has_a_revision": _NEW_KINDS,
        "offload_batches: what_changes_a_window_has_a_base": _LOOSER,
    },
    7: {
        "offload_batches: offload_batches_one_done_per_lower": _SAME,
        "offload_batches: offload_batches_one_done_per_upper": _SAME,
        "offload_watermarks: the_watermark_is_not_below_the_start": "the start is the beginning of time",
    },
    8: {
        "offload_batches: a_published_batch_has_a_snapshot": _LOOSER,
        "offload_batches: offload_batches_done_once_per_lower": "windows of another generation are withdrawn before",
        "offload_batches: offload_batches_done_once_per_upper": "windows of another generation are withdrawn before",
        "offload_batches: offload_batches_status_check": _LOOSER,
        "offload_batches: what_is_withdrawn_has_an_instant": _NEW_KINDS,
    },
    9: {
        "offload_batches: a_rewind_has_a_reason": _NEW_KINDS,
        "offload_batches: offload_batches_kind_check": _LOOSER,
    },
    10: {
        "offload_batches: a_batch_ends_when_it_is_done_or_failed": _LOOSER,
        "offload_batches: offload_batches_status_check": _LOOSER,
    },
}
"""What looks narrower and is none, by migration: why a program of before still reads and writes what it did."""

CONTRACTED: dict[int, str] = {}
"""Migrations that take something away, and refuse older programs: since when nothing reads or writes it."""

NARROW = {
    "a column that goes": ("ALTER TABLE known DROP COLUMN name", "known.name is gone"),
    "a column with another name": ("ALTER TABLE known RENAME COLUMN name TO named", "known.name is gone"),
    "a table with another name": ("ALTER TABLE known RENAME TO other", "known.name is gone"),
    "a type": ("ALTER TABLE known ALTER COLUMN number TYPE integer", "known.number has another type"),
    "a value that must be there": ("ALTER TABLE known ALTER COLUMN name SET NOT NULL", "known.name has to be given"),
    "a default that goes": ("ALTER TABLE known ALTER COLUMN number DROP DEFAULT", "known.number has to be given"),
    "a new column without a default": ("ALTER TABLE known ADD COLUMN more text NOT NULL", "known.more has to be given"),
    "a check": ("ALTER TABLE known ADD CONSTRAINT less CHECK (number < 10)", "known: less"),
    "a check that says something else": (
        "ALTER TABLE known DROP CONSTRAINT positive, ADD CONSTRAINT positive CHECK (number > 5)",
        "known: positive",
    ),
    "a unique index": ("CREATE UNIQUE INDEX once ON known (name)", "known: once"),
    "a reference": (
        "ALTER TABLE known ADD UNIQUE (name), ADD CONSTRAINT to_others FOREIGN KEY (name) REFERENCES known (name)",
        "known: to_others",
    ),
}
WIDE = {
    "a table": "CREATE TABLE more (name text NOT NULL CHECK (name <> ''))",
    "a column": "ALTER TABLE known ADD COLUMN more text",
    "a column with a default": "ALTER TABLE known ADD COLUMN more integer NOT NULL DEFAULT 0 CHECK (more >= 0)",
    "an index": "CREATE INDEX sometimes ON known (name)",
    "a check that goes": "ALTER TABLE known DROP CONSTRAINT positive",
    "a value that may be missing": "ALTER TABLE known ALTER COLUMN number DROP NOT NULL",
}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as running:
        yield running


def changed(dsn: str, statement: str) -> set[str]:
    """What a statement takes from programs that know a table."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE known (name text, number bigint NOT NULL DEFAULT 1)")
        connection.execute("ALTER TABLE known ADD CONSTRAINT positive CHECK (number > 0)")
        before = shape_of(dsn)
        connection.execute(statement.encode())
    return set(narrowings(before, shape_of(dsn)))


def test_no_migration_takes_anything_from_programs_of_before_unless_that_is_argued(server: PostgresServer) -> None:
    dsn, known = server.create_database(), list(shipped())
    found: dict[int, set[str]] = {}
    with Database(PostgresSettings(dsn=SecretStr(dsn))) as database:
        before = shape_of(dsn)
        for number, migration in enumerate(known, start=1):
            migrate(database, known[:number])
            after = shape_of(dsn)
            narrower = set(narrowings(before, after))
            if narrower and migration.version not in CONTRACTED:
                found[migration.version] = narrower
            before = after
    assert found == {version: set(why) for version, why in ARGUED.items()}


def test_each_migration_says_which_program_is_the_oldest_that_works_with_it() -> None:
    """A migration that only adds says a program of before it; one that contracts is refused to all of these."""
    asked = [one for one in shipped() if one.version >= ASKED_FROM]
    contracting = {one.version for one in asked if one.oldest_program == one.version}
    assert contracting == set(CONTRACTED), "-- oldest-program: NNNN is missing, or CONTRACTED lacks the reason"
    assert all(one.oldest_program <= one.version for one in asked)


@pytest.mark.parametrize(("statement", "told"), NARROW.values(), ids=NARROW.keys())
def test_what_takes_something_away_is_noticed(server: PostgresServer, statement: str, told: str) -> None:
    assert told in changed(server.create_database(), statement)


@pytest.mark.parametrize("statement", WIDE.values(), ids=WIDE.keys())
def test_what_adds_something_is_allowed(server: PostgresServer, statement: str) -> None:
    assert changed(server.create_database(), statement) == set()
