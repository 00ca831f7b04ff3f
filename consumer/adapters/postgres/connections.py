"""A pool of connections to one database, opened on first use, and what is said where there is none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from consumer.adapters.postgres.failures import connection_failure, statement_failure
from consumer.adapters.postgres.traced_cursor import TracedCursor
from consumer.adapters.postgres.watchdog import Watchdog
from consumer.domain.errors import IcehaulError, LedgerUnavailableError
from consumer.settings.connections import PostgresSettings

Connection = psycopg.Connection[DictRow]

_Pool = ConnectionPool[Connection]

_POOLS_TO_TRY = 3
_MAX_LIFETIME_S = 1800.0
_MAX_IDLE_S = 300.0
_TRUSTED_S = 1.0
"""How long a connection that has just answered is taken for alive."""


class Connections:
    """Lends connections that are alive; for all threads.

    Args:
        settings: the size of the pool, and how long a server may take to answer.
        parameters: what libpq is given.
        setting: the field that the connection string is from, for messages.
        target: host, port and database, for messages.
    """

    def __init__(self, settings: PostgresSettings, parameters: Mapping[str, Any], *, setting: str, target: str) -> None:
        self._settings = settings
        self._parameters = parameters
        self._setting = setting
        self._target = target
        self._user = str(parameters.get("user", "(the system's)"))
        self._opening = threading.Lock()
        self._pool: _Pool | None = None
        self._answered: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()

    def close(self) -> None:
        """Close all connections; the next one that is lent is a new one."""
        with self._opening:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    @contextmanager
    def lent(self, begin: Callable[[Connection], object] | None = None) -> Iterator[Connection]:
        """Lend a connection that has just answered, to ``begin`` if that is given: it may be called again.

        Raises:
            LedgerUnavailableError: if there is none.
            AccessDeniedError, ConfigurationError: if there will be none.
        """
        pool, connection = self._take(begin)
        try:
            yield connection
            self._answered[connection] = time.monotonic()
        finally:
            self._give_back(pool, connection)

    def _take(self, begin: Callable[[Connection], object] | None) -> tuple[_Pool, Connection]:
        for _ in range(_POOLS_TO_TRY):
            pool = self._opened()
            try:
                connection = pool.getconn()
            except PoolClosed:
                continue  # another thread has retired it while this one waited
            except PoolTimeout as error:
                raise self._why_no_connection(error) from error
            try:
                self._ask(connection, begin)
            except psycopg.Error as error:
                translated = (
                    None if connection.closed else statement_failure(error, user=self._user, setting=self._setting)
                )
                connection.close()
                self._give_back(pool, connection)
                if translated is not None:
                    raise translated from error
            else:
                return pool, connection
        raise LedgerUnavailableError(
            f"connections to Postgres at {self._target} break as soon as they are made",
            remedy="look at the server's log, and at what stands between (a pooler, a firewall)",
        )

    def _ask(self, connection: Connection, begin: Callable[[Connection], object] | None) -> None:
        """Find out whether a connection is alive, by what is to be said anyway if that is given."""
        if begin is None and time.monotonic() - self._answered.get(connection, -_TRUSTED_S) < _TRUSTED_S:
            return
        with Watchdog(connection, timedelta(seconds=self._settings.connect_timeout_seconds)):
            (begin or ConnectionPool.check_connection)(connection)

    def _give_back(self, pool: _Pool, connection: Connection) -> None:
        """Give a connection back to its pool; one that died seldom dies alone, so the others go with it.

        The pool would try them one after the other, and make new ones after growing pauses.
        """
        if connection.closed:
            self._answered.clear()
            self._retire(pool)
        pool.putconn(connection)

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
        # autocommit: transactions begin by a message of our own, which sets their bounds as well.
        return {
            **self._parameters,
            "autocommit": True,
            "row_factory": dict_row,
            "cursor_factory": TracedCursor,
            "prepare_threshold": None,
        }

    def _connect(self) -> Connection:
        try:
            return Connection.connect(**self._arguments())
        except psycopg.Error as error:
            raise connection_failure(error, target=self._target, user=self._user, setting=self._setting) from error

    def _why_no_connection(self, error: PoolTimeout) -> IcehaulError:
        try:
            self._connect().close()
        except IcehaulError as cause:
            return cause
        return LedgerUnavailableError(
            f"all {self._settings.pool_size} connections to Postgres at {self._target} were busy: {error}",
            remedy="raise postgres.pool_size, or lower consumer.workers",
        )
