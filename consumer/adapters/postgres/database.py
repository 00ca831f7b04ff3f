"""Connections to the ledger's database, and transactions that know whether they landed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Self

import psycopg
from psycopg import IsolationLevel, conninfo, errors
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from consumer.adapters.postgres.failures import (
    LEDGER_DSN,
    connection_failure,
    refuses_commit,
    statement_failure,
    text_of,
)
from consumer.adapters.postgres.statements import statements
from consumer.adapters.postgres.traced_cursor import TracedCursor, traced
from consumer.adapters.postgres.watchdog import Watchdog
from consumer.domain.errors import ConfigurationError, IcehaulError, LedgerUnavailableError, UnknownCommitError
from consumer.settings.connections import PostgresSettings

Connection = psycopg.Connection[DictRow]

_Pool = ConnectionPool[Connection]

_LEASE = timedelta(seconds=30)
_POOLS_TO_TRY = 3
_MAX_LIFETIME_S = 1800.0
_MAX_IDLE_S = 300.0


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
        self._parameters = _parameters(settings, lease=lease, application_name=application_name, setting=setting)
        self._opening = threading.Lock()
        self._pool: _Pool | None = None

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
        with self._opening:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

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
        lock = lock_timeout or timedelta(seconds=self._settings.lock_timeout_seconds)
        bound = limit or self._lease
        statement = bound if limit else min(bound, timedelta(seconds=self._settings.statement_timeout_seconds))
        pool, connection = self._take()
        try:
            with Watchdog(connection, bound):
                with self._rolled_back_on_error(connection):
                    # By a plain cursor: what every transaction begins with tells nothing in a trace.
                    psycopg.Cursor(connection).execute(
                        statements("session")["bounds"],
                        {"lock": _ms(lock), "statement": _ms(statement), "idle": _ms(bound / 2)},
                    )
                    yield connection
                    _refuse_failed_transaction(connection)
                self._commit(connection, repeatable=repeatable)
        finally:
            pool.putconn(connection)

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

    def _take(self) -> tuple[_Pool, Connection]:
        for _ in range(_POOLS_TO_TRY):
            pool = self._opened()
            try:
                connection = pool.getconn()
            except PoolClosed:
                continue  # another thread has retired it while this one waited
            except PoolTimeout as error:
                raise self._why_no_connection(error) from error
            try:
                self._check(connection)
            except psycopg.Error:
                # One that died idle seldom dies alone. The pool's own check would try the others one after the
                # other, with growing pauses in between, so all of them go at once.
                connection.close()
                pool.putconn(connection)
                self._retire(pool)
            else:
                return pool, connection
        raise LedgerUnavailableError(
            f"connections to Postgres at {self.target} break as soon as they are made",
            remedy="look at the server's log, and at what stands between (a pooler, a firewall)",
        )

    def _retire(self, pool: _Pool) -> None:
        with self._opening:
            if self._pool is pool:
                self._pool = None
        # Connections that are in use are closed when they are given back; nobody waits for that here.
        pool.close(timeout=0)

    def _opened(self) -> _Pool:
        with self._opening:
            if self._pool is None:
                # A pool only ever says that time ran out; a first connection of our own says why.
                self._connect().close()
                wait = self._settings.connect_timeout_seconds
                self._pool = ConnectionPool(
                    "",
                    connection_class=Connection,
                    kwargs=self._arguments(),
                    min_size=0,
                    max_size=self._settings.pool_size,
                    open=True,
                    configure=_configure,
                    timeout=wait,
                    reconnect_timeout=wait,
                    max_idle=_MAX_IDLE_S,
                    max_lifetime=_MAX_LIFETIME_S,
                    num_workers=2,
                    name="icehaul-ledger",
                )
            return self._pool

    def _arguments(self) -> dict[str, Any]:
        # prepare_threshold=None: a prepared statement belongs to a session, which PgBouncer does not promise.
        return {**self._parameters, "row_factory": dict_row, "cursor_factory": TracedCursor, "prepare_threshold": None}

    def _connect(self) -> Connection:
        try:
            return Connection.connect(**self._arguments())
        except psycopg.Error as error:
            raise connection_failure(error, target=self.target, user=self.user, setting=self._setting) from error

    def _check(self, connection: Connection) -> None:
        with Watchdog(connection, timedelta(seconds=self._settings.connect_timeout_seconds)):
            ConnectionPool.check_connection(connection)

    def _why_no_connection(self, error: PoolTimeout) -> IcehaulError:
        try:
            self._connect().close()
        except IcehaulError as cause:
            return cause
        return LedgerUnavailableError(
            f"all {self._settings.pool_size} connections to Postgres at {self.target} were busy: {error}",
            remedy="raise postgres.pool_size, or lower consumer.workers",
        )


def _parameters(settings: PostgresSettings, *, lease: timedelta, application_name: str, setting: str) -> dict[str, Any]:
    try:
        named = conninfo.conninfo_to_dict(settings.dsn.get_secret_value())
    except psycopg.Error:
        # Not chained: libpq quotes the DSN, password included.
        raise ConfigurationError(
            f"{setting}: the value is no connection string",
            remedy="write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with special characters percent-encoded",
        ) from None
    if _misread(named):
        # A part of the password has become host, port or database, which messages name.
        raise ConfigurationError(
            f"{setting}: the value is no connection string with one @ and one /, so that its password ends too early",
            remedy="percent-encode special characters of user and password: @ as %40, / as %2F, : as %3A",
        )
    defaults: dict[str, Any] = {
        "application_name": application_name,
        "connect_timeout": max(2, round(settings.connect_timeout_seconds)),
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": _ms(lease),
        # With several hosts in the DSN: the primary.
        "target_session_attrs": "read-write",
    }
    return {**defaults, **named}


def _misread(named: Mapping[str, Any]) -> bool:
    """Tell whether libpq found the borders of a URL elsewhere than its author meant them."""
    # A host that begins with it is a socket without a file.
    host, database = str(named.get("host") or ""), str(named.get("dbname") or "")
    ports = str(named.get("port") or "").split(",")
    return "@" in host[1:] or "@" in database or not all(port == "" or port.isdecimal() for port in ports)


def _configure(connection: Connection) -> None:
    connection.isolation_level = IsolationLevel.READ_COMMITTED
    connection.read_only = False


def _refuse_failed_transaction(connection: Connection) -> None:
    # Postgres answers COMMIT of a failed transaction with a friendly ROLLBACK.
    if connection.info.transaction_status != TransactionStatus.INTRANS:
        raise LedgerUnavailableError(
            "an error inside the transaction was swallowed, it can't be committed",
            remedy="nothing landed and it is tried again by itself",
        )


def _ms(duration: timedelta) -> int:
    return max(1, round(duration / timedelta(milliseconds=1)))
