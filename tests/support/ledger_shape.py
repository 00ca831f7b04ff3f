"""What a ledger's tables are like, and what of a change keeps programs from working that know the tables before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psycopg

_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           a.atthasdef OR a.attidentity <> ''
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
"""
_CONSTRAINTS = """
    -- What becomes of a row when the one that it refers to is renamed or goes is no matter of who writes it.
    SELECT c.relname, k.conname, regexp_replace(pg_get_constraintdef(k.oid), ' ON (UPDATE|DELETE) .*', ''),
           ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = k.conrelid AND attnum = ANY (k.conkey))
    FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid
    WHERE c.relnamespace = 'public'::regnamespace AND k.contype IN ('c', 'f', 'u', 'p', 'x')
    UNION ALL
    SELECT c.relname, i.relname, pg_get_indexdef(x.indexrelid),
           ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = x.indrelid AND attnum = ANY (x.indkey))
    FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indrelid JOIN pg_class AS i ON i.oid = x.indexrelid
    WHERE c.relnamespace = 'public'::regnamespace AND x.indisunique
      AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = x.indexrelid)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: its type, whether it must have a value, and whether it gets one by itself."""

    type: str
    required: bool
    filled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A constraint or a unique index: what it says, and of which columns."""

    text: str
    columns: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """All tables, by name of table and of column or rule."""

    columns: Mapping[tuple[str, str], Column]
    rules: Mapping[tuple[str, str], Rule]

    @property
    def tables(self) -> frozenset[str]:
        """The names of the tables."""
        return frozenset(table for table, _ in self.columns)


def shape_of(dsn: str) -> Shape:
    """Return what the tables of a database are like."""
    with psycopg.connect(dsn) as connection:
        columns = connection.execute(_COLUMNS).fetchall()
        rules = connection.execute(_CONSTRAINTS).fetchall()
    return Shape(
        columns={
            (table, name): Column(type=type_, required=required, filled=filled)
            for table, name, type_, required, filled in columns
        },
        rules={(table, name): Rule(text=text, columns=frozenset(of)) for table, name, text, of in rules},
    )


def narrowings(before: Shape, after: Shape) -> Iterator[str]:
    """Yield what a program can't do any more that knows the tables as they were before; names only."""
    for (table, name), column in before.columns.items():
        now = after.columns.get((table, name))
        if now is None:
            yield f"{table}.{name} is gone"
        elif now.type != column.type:
            yield f"{table}.{name} has another type"
        elif (now.required and not column.required) or (column.filled and not now.filled):
            yield f"{table}.{name} has to be given"
    for (table, name), column in after.columns.items():
        new = table in before.tables and (table, name) not in before.columns
        if new and column.required and not column.filled:
            yield f"{table}.{name} has to be given"
    for (table, name), rule in after.rules.items():
        known = {column for of, column in before.columns if of == table}
        if before.rules.get((table, name)) != rule and rule.columns & known:
            yield f"{table}: {name}"
