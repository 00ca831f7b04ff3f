"""Statements of one transaction that travel together: one message, one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row

from consumer.adapters.postgres.connections import Connection
from consumer.adapters.postgres.traced_cursor import traced


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a statement returned, and how many rows it touched."""

    rows: Sequence[DictRow]
    touched: int

    @property
    def row(self) -> DictRow | None:
        """The first row, if there is one."""
        return self.rows[0] if self.rows else None


def together(
    connection: Connection, asked: Sequence[bytes], parameters: Mapping[str, Any], *, begin: bytes | None = None
) -> list[Answer]:
    """Run statements one after the other, and return their answers; each sees what was committed before it.

    They are one message, and no pipeline of psycopg's: that ends by asking for what it has got already, which tells the
    server that the transaction is not idle, so that a frozen owner would keep its locks.

    With ``begin`` they are a whole transaction, which begins so; what that answers is left out.

    Raises:
        psycopg.Error: that of the first statement that fails; none after it was run.
    """
    # Values are quoted here: a message with parameters beside it holds one statement only.
    cursor = psycopg.ClientCursor(connection, row_factory=dict_row)
    with traced(connection, asked[0]):
        cursor.execute(b";\n".join(asked if begin is None else (begin, *asked)), parameters)
    answers = [_answer(cursor)]
    while cursor.nextset():
        answers.append(_answer(cursor))
    return answers[-len(asked) :]


def _answer(cursor: psycopg.ClientCursor[DictRow]) -> Answer:
    rows = cursor.fetchall() if cursor.description is not None else []
    return Answer(rows=rows, touched=cursor.rowcount)
