"""PgBouncer in transaction mode in front of a test's Postgres."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consumer.embedded.ports import free_ports
from tests.support.postgres_server import PostgresServer

_CONFIG = """
[databases]
* = host=127.0.0.1 port={port} user={user} password={password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 200
server_lifetime = 60
"""
_READY_WITHIN_S = 15.0


def pgbouncer_program() -> str | None:
    """Return the program, if the machine has it."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def running_pgbouncer(server: PostgresServer, *, pool_size: int, port: int | None = None) -> Iterator[int]:
    """Run it and yield its port; ``pool_size`` is the number of server connections for each database.

    It reaches the server at ``port``, where a proxy may stand.
    """
    program = pgbouncer_program()
    assert program is not None
    home = Path(tempfile.mkdtemp(prefix="icehaul-pgbouncer-"))
    home.chmod(0o755)
    listen = free_ports(1)[0]
    config = home / "pgbouncer.ini"
    end = server.endpoint
    config.write_text(
        _CONFIG.format(port=port or end.port, user=end.user, password=end.password, listen=listen, pool_size=pool_size),
        encoding="utf-8",
    )
    config.chmod(0o644)
    with (home / "log").open("wb") as log:
        # It refuses to run as root, and takes on another user by itself.
        process = subprocess.Popen([program, "-u", "nobody", str(config)], stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_until_open(process, listen, home / "log")
        yield listen
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(home, ignore_errors=True)


def _wait_until_open(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"PgBouncer did not start:\n{log.read_text(encoding='utf-8')}") from None
            time.sleep(0.05)
        else:
            return
