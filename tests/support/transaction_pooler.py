"""A pooler in transaction mode, as PgBouncer is one: few sessions, and each transaction gets whichever is free.

It runs where no PgBouncer is installed. The sessions are opened by libpq, and borrowed below it.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
from queue import Queue
from typing import Any, Self

import psycopg

from tests.support.postgres_wire import messages_in, next_message, starts_session

_HOST = "127.0.0.1"
_CHUNK = 65_536
_REPORTED = ("server_version", "client_encoding", "standard_conforming_strings", "integer_datetimes", "TimeZone")
_AUTHENTICATED = b"R" + struct.pack("!ii", 8, 0)
_READY = b"Z" + struct.pack("!i", 5) + b"I"
_ENDS_A_BATCH = (b"Q", b"S")


class TransactionPooler:
    """Serves clients of one database on a port of its own; use as a context manager.

    ``transactions`` counts the stretches that a session was lent for.
    """

    def __init__(self, dsn: str, *, sessions: int) -> None:
        self._dsn = dsn
        self._size = sessions
        self._free: Queue[_Server] = Queue()
        self._servers: list[_Server] = []
        self._listener = socket.create_server((_HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self.transactions = 0

    def __enter__(self) -> Self:
        for _ in range(self._size):
            self._add()
        threading.Thread(target=self._take, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for server in self._servers:
            server.close()

    def _add(self) -> None:
        server = _Server(self._dsn)
        self._servers.append(server)
        self._free.put(server)

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        lent: list[_Server] = []
        try:
            with client, contextlib.suppress(OSError):
                self._greet(client)
                self._relay(client, lent)
        finally:
            # The client has gone in the middle of a transaction: its session goes too.
            for server in lent:
                server.close()
                with contextlib.suppress(psycopg.Error):
                    self._add()

    def _greet(self, client: socket.socket) -> None:
        backlog = b""
        while True:
            message, backlog = next_message(backlog, greeted=False)
            if message is None:
                backlog += _received(client)
            elif starts_session(message):
                break
            else:
                client.sendall(b"N")  # no encryption
        known = self._servers[0].parameters
        told = b"".join(_parameter(name, known[name]) for name in _REPORTED)
        client.sendall(_AUTHENTICATED + told + b"K" + struct.pack("!iii", 12, 1, 1) + _READY)

    def _relay(self, client: socket.socket, lent: list[_Server]) -> None:
        backlog = b""
        while True:
            waited_for: list[Any] = [client, *lent]
            ready, _, _ = select.select(waited_for, [], [])
            if client in ready:
                backlog += _received(client)
                while True:
                    message, backlog = next_message(backlog, greeted=True)
                    if message is None:
                        break
                    if message[:1] == b"X":
                        return
                    if not lent:
                        lent.append(self._free.get())
                        self.transactions += 1
                    lent[0].send(message)
            elif lent[0].answer(client):
                self._free.put(lent.pop())


class _Server:
    """One session, and how much of what was asked is not answered yet."""

    def __init__(self, dsn: str) -> None:
        # Kept, or libpq would close the session with it.
        self._connection = psycopg.connect(dsn, autocommit=True)
        info = self._connection.info
        self.parameters = {name: info.parameter_status(name) or "" for name in _REPORTED}
        self._socket = socket.socket(fileno=os.dup(self._connection.fileno()))
        self._socket.setblocking(True)
        self._asked = 0
        self._backlog = b""

    def fileno(self) -> int:
        """What ``select`` waits for."""
        return self._socket.fileno()

    def send(self, message: bytes) -> None:
        """Pass on what the client says."""
        self._asked += message[:1] in _ENDS_A_BATCH
        self._socket.sendall(message)

    def answer(self, client: socket.socket) -> bool:
        """Pass on what the server says; tell whether everything is answered and no transaction is open."""
        data = _received(self._socket)
        client.sendall(data)
        done, self._backlog = messages_in(self._backlog + data)
        states = [message[5:6] for message in done if message[:1] == b"Z"]
        self._asked -= len(states)
        return bool(states) and states[-1] == b"I" and self._asked == 0

    def close(self) -> None:
        """End the session."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._connection.close()


def _received(side: socket.socket) -> bytes:
    data = side.recv(_CHUNK)
    if not data:
        raise ConnectionResetError
    return data


def _parameter(name: str, value: str) -> bytes:
    content = name.encode() + b"\0" + value.encode() + b"\0"
    return b"S" + struct.pack("!i", len(content) + 4) + content
