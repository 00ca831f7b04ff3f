"""Quoting for ClickHouse SQL that is put together from checked parts."""

from __future__ import annotations

from consumer.domain.stream import TableName, check_identifier


def quote_name(name: str) -> str:
    """Return a column, database or table name in backticks.

    Raises:
        ValueError: if it is not an allowed identifier.
    """
    return f"`{check_identifier('name', name)}`"


def quote_table(table: TableName) -> str:
    """Return ``database.table``, both parts in backticks."""
    return f"{quote_name(table.database)}.{quote_name(table.table)}"


def quote_text(text: str) -> str:
    """Return a ClickHouse string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0")
    return f"'{escaped}'"
