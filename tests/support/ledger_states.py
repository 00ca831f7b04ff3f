"""Rows of running streams, as ledgers of every version have them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Any

import psycopg
from psycopg import sql

from tests.support.ledger_values import SOURCE, STREAM, T0, TARGET, batch


def _seeds() -> Iterator[tuple[int, str]]:
    """Yield what a ledger may hold from a migration on: statements."""
    text = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    values = {"stream": STREAM, "t0": T0, "source": SOURCE, "target": TARGET, "done": batch().id}
    _, *parts = re.split(r"^-- since: (\d+)$", text, flags=re.MULTILINE)
    for since, statements in zip(parts[::2], parts[1::2], strict=True):
        yield int(since), Template(statements).substitute(values)


def seed(dsn: str, version: int) -> None:
    """Put rows into a ledger that knows the migrations up to ``version``."""
    with psycopg.connect(dsn) as connection:
        for since, statements in _seeds():
            if since <= version:
                connection.execute(statements.encode())


def rows_of(dsn: str) -> Mapping[str, list[dict[str, Any]]]:
    """Return every row of every table of the ledger, by table, in an order of their own."""
    with psycopg.connect(dsn) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migrations'"
        ).fetchall()
        found: dict[str, list[dict[str, Any]]] = {}
        for (table,) in tables:
            statement = sql.SQL("SELECT to_jsonb(t) FROM {} AS t").format(sql.Identifier(table))
            rows = [row for (row,) in connection.execute(statement).fetchall()]
            found[table] = sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))
    return found


def restricted(
    rows: Mapping[str, list[dict[str, Any]]], known: Mapping[str, list[dict[str, Any]]]
) -> Mapping[str, list[dict[str, Any]]]:
    """Return rows with the tables and columns of ``known`` alone."""
    return {
        table: sorted(
            ({name: row[name] for name in some[0]} for row in rows[table]),
            key=lambda row: json.dumps(row, sort_keys=True),
        )
        for table, some in known.items()
        if some
    }
