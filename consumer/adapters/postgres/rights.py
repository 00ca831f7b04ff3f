"""Which rights on which tables icehaul's statements take, read from the statements themselves."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cache
from importlib import resources

PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")

_COMMENT = re.compile(r"--[^\n]*")
_RELATION = r"(?P<relation>offload_\w+|iceberg_tables|iceberg_namespace_properties|schema_migrations)\b"
_SIGNS = {
    "INSERT": re.compile(rf"\bINSERT\s+INTO\s+{_RELATION}"),
    "UPDATE": re.compile(rf"\bUPDATE\s+{_RELATION}"),
    "DELETE": re.compile(rf"\bDELETE\s+FROM\s+{_RELATION}"),
}
_READ = re.compile(_RELATION)
_UPSERT = re.compile(rf"\bINSERT\s+INTO\s+{_RELATION}.*\bDO\s+UPDATE\b", re.DOTALL)
_LOCKED = re.compile(rf"\bFROM\s+{_RELATION}[^;]*\bFOR\s+UPDATE\b", re.DOTALL)
_FOLDERS = ("consumer.adapters.postgres", "consumer.adapters.iceberg")
_MIGRATIONS = "migrations"
_REGISTRY = "registry"


class Role(StrEnum):
    """Who connects to the ledger's database, as ``ops/security/postgres`` makes the roles."""

    READER = "icehaul_reader"
    """``status``, ``plan``, ``verify``, and dashboards."""
    COMMITTER = "icehaul_committer"
    """Consumers, emitters, and commands that offload or settle something."""
    MAINTENANCE = "icehaul_maintenance"
    """``stream rename``, ``move`` and ``remove``, which may delete a stream's history."""


Rights = Mapping[str, frozenset[str]]
"""The privileges, by table."""


@cache
def rights(role: Role) -> Rights:
    """Return what a role needs for the statements that it runs; all of them read what they write."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    found["schema_migrations"].add("SELECT")  # every process asks whether it fits the ledger
    for file, text in _statements():
        if file == _MIGRATIONS or (file == _REGISTRY and role is not Role.MAINTENANCE):
            continue
        for privilege, relation in _taken(text):
            if role is not Role.READER or privilege == "SELECT":
                found[relation].add(privilege)
    return {relation: frozenset(privileges) for relation, privileges in sorted(found.items())}


def grant(relation: str, privileges: Iterable[str], user: str) -> str:
    """Return the statement that gives privileges on a table, in the order in which they are always written."""
    given = set(privileges)
    return f"GRANT {', '.join(one for one in PRIVILEGES if one in given)} ON {relation} TO {user}"


def _statements() -> Iterator[tuple[str, str]]:
    """Yield every statement that this program has, with the name of its file."""
    for folder in _FOLDERS:
        for file in sorted((resources.files(folder) / "sql").iterdir(), key=lambda one: one.name):
            if file.name.endswith(".sql"):
                for text in file.read_text(encoding="utf-8").split("-- name: "):
                    yield file.name.removesuffix(".sql"), _COMMENT.sub("", text)


def _taken(text: str) -> Iterator[tuple[str, str]]:
    for relation in _READ.findall(text):
        yield "SELECT", relation
    for privilege, sign in _SIGNS.items():
        for relation in sign.findall(text):
            yield privilege, relation
    for sign in (_UPSERT, _LOCKED):
        for relation in sign.findall(text):
            yield "UPDATE", relation
