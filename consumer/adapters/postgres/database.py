"""Transactions on the ledger's database that know whether they landed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Self

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow

from consumer.adapters.postgres.connections import Connection, Connections
from consumer.adapters.postgres.failures import LEDGER_DSN, refuses_commit, statement_failure, text_of
from consumer.adapters.postgres.parameters import connection_parameters, milliseconds
from consumer.adapters.postgres.statements import statements
from consumer.adapters.postgres.together import together
from consumer.adapters.postgres.traced_cursor import traced
from consumer.adapters.postgres.watchdog import Watchdog
from consumer.domain.errors import LedgerUnavailableError, UnknownCommitError
from consumer.settings.connections import PostgresSettings

__all__ = ["Connection", "Database"]

_LEASE = timedelta(seconds=30)
_BEGIN = b"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"


class Database:
    """A pool of connections, opened on first use, and transactions with bounds on everything.

    No transaction relies on the session it runs in (no session lock, no prepared statement, no session
    setting), so PgBouncer in transaction mode may stand between. No transaction outlives ``lease``: Postgres ends
    one whose owner is frozen after half of it, and the client gives up on a server that answers nothing. Messages
    name the ``setting`` that the connection string is from.
    """

    def __init__(
        self,
        settings: PostgresSettings,
        *,
        lease: timedelta = _LEASE,
        application_name: str = "icehaul",
        setting: str = LEDGER_DSN,
    ) -> None:
        self._settings = settings
        self._lease = lease
        self._setting = setting
        self._parameters = connection_parameters(
            settings, lease=lease, application_name=application_name, setting=setting
        )
        self._connections = Connections(settings, self._parameters, setting=setting, target=self.target)

    @property
    def user(self) -> str:
        """The user that the DSN names, for messages."""
        return str(self._parameters.get("user", "(the system's)"))

    @property
    def target(self) -> str:
        """Host, port and database that the DSN names, for messages."""
        named = self._parameters
        return f"{named.get('host', '(local)')}:{named.get('port', 5432)}/{named.get('dbname', self.user)}"

    @property
    def host(self) -> str:
        """The host that the DSN names; nothing, or a folder, for a socket on this machine."""
        return str(self._parameters.get("host", ""))

    @property
    def sslmode(self) -> str:
        """How encryption is asked for, in libpq's words."""
        return str(self._parameters.get("sslmode", "prefer"))

    @property
    def patience(self) -> timedelta:
        """How long to wait for a lock that must be had: longer than its frozen owner may keep it."""
        return self._lease * 3 / 4

    def close(self) -> None:
        """Close all connections; the next transaction opens new ones."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(
        self,
        *,
        repeatable: bool = False,
        lock_timeout: timedelta | None = None,
        limit: timedelta | None = None,
    ) -> Iterator[Connection]:
        """Run a block as one transaction: READ COMMITTED, durable, bounded; it is committed when the block ends.

        With ``repeatable`` the block does no harm if it is run again after it has landed: nobody has to find out, and
        an unknown outcome is raised as ``LedgerUnavailableError``. ``lock_timeout`` bounds each wait for a lock (the
        setting, if not given), ``limit`` the whole transaction (the lease, if not given).

        Raises:
            UnknownCommitError: if the connection broke while COMMIT was under way.
            LedgerUnavailableError: if the transaction has certainly not landed and may be tried again.
            AccessDeniedError, ConfigurationError, DivergenceError: if trying again is of no use.
        """
        bound = limit or self._lease
        begin = self._begin(bound, lock=lock_timeout, statement=limit)
        # By a plain cursor: what every transaction begins with tells nothing in a trace.
        with (
            self._connections.lent(lambda connection: psycopg.Cursor(connection).execute(begin)) as connection,
            Watchdog(connection, bound),
        ):
            with self._rolled_back_on_error(connection):
                yield connection
                _refuse_failed_transaction(connection)
            self._commit(connection, repeatable=repeatable)

    def ask(self, *asked: bytes, parameters: Mapping[str, Any]) -> list[Sequence[DictRow]]:
        """Run statements as a transaction of their own, in one round trip, and return the rows of each.

        It is as bounded and as durable as any other transaction. It has to do no harm if it is run again after it has
        landed: where the connection had died, it is sent once more by another one.

        Raises:
            LedgerUnavailableError: if it may be tried again.
            AccessDeniedError, ConfigurationError, DivergenceError: if trying again is of no use.
        """
        whole = (*asked, b"COMMIT")
        for again in (True, False):
            with self._connections.lent() as connection, Watchdog(connection, self._lease):
                try:
                    answers = together(connection, whole, parameters, begin=self._begin(self._lease))
                    return [answer.rows for answer in answers[:-1]]
                except psycopg.Error as error:
                    if again and connection.closed:
                        continue
                    with contextlib.suppress(psycopg.Error):
                        connection.rollback()
                    translated = statement_failure(error, user=self.user, setting=self._setting)
                    if translated is None:
                        raise
                    raise translated from error
        raise AssertionError("unreachable: the second time returns or raises")

    def _begin(self, bound: timedelta, *, lock: timedelta | None = None, statement: timedelta | None = None) -> bytes:
        """Return the message that a transaction begins with, which takes one round trip."""
        settings = self._settings
        bounds = statements("session")["bounds"] % {
            b"lock": milliseconds(lock or timedelta(seconds=settings.lock_timeout_seconds)),
            b"statement": milliseconds(statement or min(bound, timedelta(seconds=settings.statement_timeout_seconds))),
            b"idle": milliseconds(bound / 2),
        }
        return b";\n".join((_BEGIN, bounds))

    def _commit(self, connection: Connection, *, repeatable: bool) -> None:
        try:
            with traced(connection, b"COMMIT"):
                connection.commit()
        except psycopg.Error as error:
            certain = isinstance(error, errors.IdleInTransactionSessionTimeout) or (
                refuses_commit(error) and not connection.closed
            )
            translated = statement_failure(error, user=self.user, setting=self._setting) if certain else None
            if translated is not None:
                raise translated from error
            message = f"Postgres at {self.target} did not confirm COMMIT: {text_of(error)}"
            if repeatable:
                raise LedgerUnavailableError(
                    message, remedy="it is done again by itself, which does no harm"
                ) from error
            raise UnknownCommitError(
                message, remedy="the ledger is read back before anything else; nothing has to be done by hand"
            ) from error

    @contextmanager
    def _rolled_back_on_error(self, connection: Connection) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            with contextlib.suppress(psycopg.Error):
                connection.rollback()
            if isinstance(error, psycopg.Error):
                translated = statement_failure(error, user=self.user, setting=self._setting)
                if translated is not None:
                    raise translated from error
            raise


def _refuse_failed_transaction(connection: Connection) -> None:
    # Postgres answers COMMIT of a failed transaction with a friendly ROLLBACK.
    if connection.info.transaction_status != TransactionStatus.INTRANS:
        raise LedgerUnavailableError(
            "an error inside the transaction was swallowed, it can't be committed",
            remedy="nothing landed and it is tried again by itself",
        )
