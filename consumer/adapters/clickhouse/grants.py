"""Asking the server which grants its user has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consumer.adapters.clickhouse.client import ClickHouseConnection
from consumer.domain.clickhouse_error import source_error
from consumer.domain.clickhouse_sql import quote_name
from consumer.domain.errors import IcehaulError

_SYNTAX_ERROR = 62
_MOVING = ("SELECT", "INSERT", "ALTER DELETE", "CREATE TABLE", "DROP TABLE", "ALTER TTL")


class UnknownStatementError(IcehaulError):
    """The server (before 24.10) does not know CHECK GRANT."""


def granted(connection: ClickHouseConnection, right: str) -> bool:
    """Tell whether the user has a right, as GRANT takes it.

    Raises:
        UnknownStatementError: if the server can't tell.
    """
    ((found,),) = connection.rows(f"CHECK GRANT {right}", meaning=_check_error)
    return bool(int(found))


def to_move_rows(database: str) -> Sequence[str]:
    """Return the rights with which rows are moved between tables of a database, and tables for that made and dropped.

    `icehaul restore` and `icehaul drop-hot` need them: restorer.sql and dropper.sql of ops/security/clickhouse.
    """
    return [f"{right} ON {quote_name(database)}.*" for right in _MOVING]


def lacking(has: Callable[[str], bool], needed: Sequence[str]) -> Sequence[str]:
    """Return the rights that ``has`` tells the user not to have; none where the server can't tell."""
    try:
        return [one for one in needed if not has(one)]
    except UnknownStatementError:
        return []


def _check_error(address: str, code: int | None, text: str) -> IcehaulError:
    if code == _SYNTAX_ERROR:
        return UnknownStatementError(text, remedy="nothing has to be done")
    return source_error(address, code, text)
