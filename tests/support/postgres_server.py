"""A Postgres server of a test's own, to be stopped, killed and restarted at will."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
from psycopg import sql

from consumer.embedded.component import NotReadyError
from consumer.embedded.endpoints import PostgresEndpoint
from consumer.embedded.ports import free_ports
from consumer.embedded.postgres import Postgres
from consumer.embedded.process import ServerProcess

_READY_WITHIN_S = 60.0
_POLL_S = 0.05


class PostgresServer:
    """One server process; each test takes a database of its own from it."""

    def __init__(self, home: Path) -> None:
        self.endpoint = PostgresEndpoint(
            host="127.0.0.1", port=free_ports(1)[0], database="icehaul", user="icehaul", password="not-a-secret"
        )
        home.mkdir(parents=True, exist_ok=True)
        self._component = Postgres(home, home / "postgres.log", self.endpoint)
        self._process: ServerProcess | None = None
        self._numbers = itertools.count(1)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._component.prepare()
        launch = self._component.launch()
        # Processes end here, never the machine: what is in the kernel's hands is safe, and a shutdown takes no seconds.
        argv = (*launch.argv, "-c", "fsync=off")
        self._process = ServerProcess(replace(launch, argv=argv), self._component.log_file)
        deadline = time.monotonic() + _READY_WITHIN_S
        while True:
            try:
                self._component.probe()
            except NotReadyError:
                if time.monotonic() > deadline or self._process.exit_code() is not None:
                    raise AssertionError(f"Postgres did not start:\n{self._process.log_tail()}") from None
                time.sleep(_POLL_S)
            else:
                return

    def stop(self) -> None:
        """Shut the server down, ending its sessions."""
        if self._process is not None:
            self._process.stop(self._component.stop_signal, 20.0)
            self._process = None

    def kill(self) -> None:
        """End the server at once: a shutdown writes out what the tests have put into many databases."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> None:
        """Stop and start: what a pool sees of a failover."""
        self.stop()
        self.start()

    def create_database(self) -> str:
        """Create an empty database and return its DSN."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.endpoint.dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.dsn(database=name)

    def dsn(
        self, *, database: str, port: int | None = None, user: str | None = None, password: str | None = None
    ) -> str:
        """Return a DSN of this server with some parts replaced."""
        end = self.endpoint
        return end.model_copy(
            update={
                "database": database,
                "port": port or end.port,
                "user": user or end.user,
                "password": password or end.password,
            }
        ).dsn


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a server in a temporary directory."""
    home = Path(tempfile.mkdtemp(prefix="icehaul-postgres-"))
    server = PostgresServer(home)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(home, ignore_errors=True)
