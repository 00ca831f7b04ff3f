"""A cursor whose statements are spans of the trace that is being recorded, if one is."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, Self

import psycopg
from psycopg.abc import Params, Query
from psycopg.rows import DictRow

from consumer.adapters.telemetry.sql_spans import Server, System, sql_span
from consumer.adapters.telemetry.sql_summary import Summary, summarize_fixed


class TracedCursor(psycopg.Cursor[DictRow]):
    """Statements and their parameters are sent as they are; spans say what a statement does, and how it ended."""

    def execute(self, query: Any, *arguments: Any, **options: Any) -> Self:  # noqa: ANN401 - psycopg's own overloads
        """Run a statement; an empty one, by which the pool asks whether a connection lives, has no span."""
        if not query:
            return super().execute(query, *arguments, **options)
        with traced(self.connection, query):
            return super().execute(query, *arguments, **options)

    def executemany(self, query: Query, params_seq: Iterable[Params], *, returning: bool = False) -> None:
        """Run a statement for each of several sets of parameters; one span for all of them."""
        rows = list(params_seq)
        with traced(self.connection, query, size=len(rows)):
            super().executemany(query, rows, returning=returning)


def traced(
    connection: psycopg.Connection[Any], query: Query, *, size: int | None = None
) -> AbstractContextManager[None]:
    """Return the span of a statement that this connection runs."""

    def server() -> Server:
        info = connection.info
        return Server(system=System.POSTGRESQL, address=info.host, port=info.port, namespace=info.dbname)

    def summary() -> Summary:
        return summarize_fixed(query) if isinstance(query, bytes | str) else Summary("SQL", None)

    return sql_span(server, summary, _code, size=size)


def _code(error: Exception) -> str | None:
    return error.sqlstate if isinstance(error, psycopg.Error) else None
