"""The roles' files give what icehaul's statements take: not less, and nothing more."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from consumer.adapters.postgres.rights import Role, grant, rights
from consumer.adapters.postgres.statements import statements

ROOT = Path(__file__).resolve().parents[3]
OPS = ROOT / "ops" / "security" / "postgres"
GRANT = re.compile(r"^GRANT ([A-Z, ]+) ON (\w+) TO (\w+);$", re.MULTILINE)

# Queues, what was last seen of the source, and of files that nothing refers to; everything else is a record.
MAY_DELETE_FROM = {
    *("offload_outbox", "offload_parked", "offload_publishes"),
    *("offload_partitions", "offload_differences", "offload_findings", "offload_emissions"),
    "offload_superfluous",
}


def given(*files: str) -> dict[str, frozenset[str]]:
    """The privileges that files give, by table."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for file in files:
        for privileges, relation, role in GRANT.findall((OPS / f"{file}.sql").read_text("utf-8")):
            assert role == f"icehaul_{file}"
            found[relation] |= set(privileges.split(", "))
    return {relation: frozenset(privileges) for relation, privileges in found.items()}


@pytest.mark.parametrize(
    ("role", "files"),
    [
        (Role.READER, ("reader",)),
        (Role.COMMITTER, ("committer",)),
        # It is a member of the committers' role.
        (Role.MAINTENANCE, ("committer", "maintenance")),
    ],
)
def test_the_files_give_what_the_statements_take_and_nothing_more(role: Role, files: tuple[str, ...]) -> None:
    needed, found = rights(role), given(*files)
    missing = [
        grant(table, privileges - found.get(table, frozenset()), role)
        for table, privileges in needed.items()
        if privileges - found.get(table, frozenset())
    ]
    assert missing == [], f"add to ops/security/postgres/{files[-1]}.sql, with a reason"
    surplus = {table: privileges - needed.get(table, frozenset()) for table, privileges in found.items()}
    assert {table: privileges for table, privileges in surplus.items() if privileges} == {}


def test_maintenance_does_not_repeat_what_committers_have() -> None:
    own, committer = given("maintenance"), given("committer")
    assert {table: own[table] & committer[table] for table in own if own[table] & committer[table]} == {}


def test_consumers_and_emitters_delete_no_record() -> None:
    assert {table for table, privileges in rights(Role.COMMITTER).items() if "DELETE" in privileges} == MAY_DELETE_FROM


def test_nobody_changes_or_removes_the_record_of_actions() -> None:
    for role in Role:
        assert rights(role)["offload_actions"] <= {"SELECT", "INSERT"}


def test_readers_only_read() -> None:
    assert {privilege for privileges in rights(Role.READER).values() for privilege in privileges} == {"SELECT"}


def test_every_table_of_the_migrations_is_one_that_a_role_reads() -> None:
    made = set()
    for file in (ROOT / "schemas" / "postgres").glob("*.sql"):
        made |= set(re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", file.read_text("utf-8")))
    assert made <= rights(Role.READER).keys()
    assert len(made) > 10


@pytest.mark.parametrize(
    ("file", "name", "table", "privilege"),
    [
        ("ledger", "lock", "offload_watermarks", "UPDATE"),  # FOR UPDATE
        ("comparison", "differs", "offload_differences", "UPDATE"),  # ON CONFLICT … DO UPDATE
        ("ledger", "unpark", "offload_parked", "DELETE"),  # within a WITH
        ("publish", "publish_batch", "offload_batches", "INSERT"),
    ],
)
def test_rights_are_read_from_every_form_of_statement(file: str, name: str, table: str, privilege: str) -> None:
    assert table in statements(file)[name].decode()
    assert privilege in rights(Role.COMMITTER)[table]


def test_only_the_owner_makes_tables() -> None:
    text = (OPS / "roles.sql").read_text("utf-8")
    assert re.findall(r"GRANT [^;]*CREATE[^;]* TO (\w+);", text) == ["icehaul_owner"]
    assert "REVOKE ALL ON SCHEMA public FROM PUBLIC;" in text


@pytest.mark.parametrize("file", sorted(OPS.glob("*.sql")), ids=lambda file: file.stem)
def test_every_grant_has_its_reason_above_it(file: Path) -> None:
    for block in file.read_text("utf-8").split("\n\n"):
        if "GRANT " in block:
            assert block.startswith("-- "), block
