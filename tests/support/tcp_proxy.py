"""A TCP proxy that a test stops, cuts or silences, in front of any server; one that understands Postgres' COMMIT."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from enum import StrEnum
from types import TracebackType
from typing import Self

from tests.support.postgres_wire import READY, error_response, is_whole, next_message, starts_session, statement_of

_HOST = "127.0.0.1"
_CHUNK = 65_536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of zero seconds: close sends RST


class TcpProxy:
    """Forwards a port of its own to ``upstream``; use as a context manager, or ``start`` and ``stop``.

    * ``refuse()``: new connections are refused, open ones go on; ``accept()`` takes them again on the same port.
    * ``cut()``: open connections are reset; new ones are taken.
    * ``stop()``: both.
    * ``silence()``: bytes are swallowed in both directions and connections stay open, as if the network were gone;
      ``speak()`` lets later bytes through again.
    """

    def __init__(self, upstream_port: int, upstream_host: str = _HOST) -> None:
        self._upstream = (upstream_host, upstream_port)
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._listener: socket.socket | None = None
        self._speaking = threading.Event()
        self._speaking.set()
        self._port = 0

    @property
    def port(self) -> int:
        """The proxy's port: the same for all its life."""
        return self._port

    @property
    def connections(self) -> int:
        """How many connections are open through the proxy."""
        with self._lock:
            return len(self._links)

    def start(self) -> Self:
        """Take connections."""
        self.accept()
        return self

    def stop(self) -> None:
        """Refuse new connections and cut open ones."""
        self.refuse()
        self.cut()
        self.speak()

    def accept(self) -> None:
        """Take new connections (again)."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, self._port))
        listener.listen(64)
        self._port = int(listener.getsockname()[1])
        self._listener = listener
        threading.Thread(target=self._take, args=(listener,), daemon=True).start()

    def refuse(self) -> None:
        """Refuse new connections."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def cut(self) -> None:
        """Reset every open connection, on both sides."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.reset()

    def silence(self) -> None:
        """Swallow every byte, and the end of every connection, from now on."""
        self._speaking.clear()

    def speak(self) -> None:
        """Let bytes through again."""
        self._speaking.set()

    def from_client(self, link: _Link, data: bytes) -> None:
        """Handle bytes of the client; overridden by proxies that understand a protocol."""
        if self._speaking.is_set():
            link.server.sendall(data)

    def from_server(self, link: _Link, data: bytes) -> None:
        """Handle bytes of the server."""
        if self._speaking.is_set():
            link.client.sendall(data)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _take(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._upstream, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            link = _Link(client, server)
            with self._lock:
                self._links.add(link)
            for source, handle in ((client, self.from_client), (server, self.from_server)):
                threading.Thread(target=self._pump, args=(link, source, handle), daemon=True).start()

    def _pump(self, link: _Link, source: socket.socket, handle: Callable[[_Link, bytes], None]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                handle(link, data)
        # A side that hangs up in silence is not heard by the other one.
        self._speaking.wait()
        link.close()
        with self._lock:
            self._links.discard(link)


class _Link:
    """One connection through the proxy."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.backlog = b""
        self.greeted = False
        self.fault: CommitFault | None = None
        self.reply = b""
        self.orphaned = False

    def reset(self) -> None:
        """Close both sides with a reset."""
        self.orphaned = False
        for side in (self.client, self.server):
            with contextlib.suppress(OSError):
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()

    def orphan(self) -> None:
        """Close the client's side and keep the server's, which does not notice."""
        self.orphaned = True
        self.close()

    def close(self) -> None:
        """Close both sides, or the client's alone after ``orphan``."""
        for side in (self.client,) if self.orphaned else (self.client, self.server):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()


class CommitFault(StrEnum):
    """What happens to the next COMMIT."""

    APPLIED = "applied"
    """It reaches the server, whose reply is lost with the connection."""
    LOST = "lost"
    """It is lost with the connection, on both sides: the server rolls back."""
    LATE = "late"
    """The client's connection breaks; the server gets the COMMIT when the test calls ``deliver``."""
    POOLER_LEAVES = "pooler leaves"
    """It reaches the server, whose reply a pooler does not get: it says so as PgBouncer does, and hangs up."""
    POOLER_STAYS = "pooler stays"
    """The same, but the pooler goes on to serve the connection, as PgCat does."""


_WORDS = {
    CommitFault.POOLER_LEAVES: ("FATAL", "08P01", "server conn crashed?"),
    CommitFault.POOLER_STAYS: ("ERROR", "58000", "error receiving data from server: SocketError"),
}


class PostgresProxy(TcpProxy):
    """A proxy that frames the client's messages, to strike at a COMMIT. Traffic has to be unencrypted.

    ``statements`` counts the statements that the last ``strike`` was aimed at, those that passed included.
    """

    def __init__(self, upstream_port: int, upstream_host: str = _HOST) -> None:
        super().__init__(upstream_port, upstream_host)
        self._fault: CommitFault | None = None
        self._aim = b"commit"
        self._countdown = 0
        self._meanwhile: Callable[[], object] | None = None
        self._late: list[tuple[_Link, bytes]] = []
        self.struck = threading.Event()
        self.statements = 0

    def strike(
        self,
        fault: CommitFault,
        *,
        skip: int = 0,
        aim: bytes = b"commit",
        meanwhile: Callable[[], object] | None = None,
    ) -> None:
        """Let ``fault`` happen to the next COMMIT, after ``skip`` ones that pass.

        ``aim`` is how the statement begins, in lower case, where it is not COMMIT: a driver that commits each
        statement by itself sends none. ``meanwhile`` runs once the server has applied it, before the client
        hears that its connection is lost.
        """
        self.struck.clear()
        self.statements = 0
        self._countdown = skip
        self._aim = aim
        self._meanwhile = meanwhile
        self._fault = fault

    def cut(self) -> None:
        """Reset every open connection, also those whose COMMIT is held back."""
        late, self._late = self._late, []
        for link, _ in late:
            link.reset()
        super().cut()

    def deliver(self) -> None:
        """Deliver the COMMITs that were held back."""
        for link, message in self._late:
            link.server.sendall(message)

    def from_client(self, link: _Link, data: bytes) -> None:
        """Frame messages, and strike where one is COMMIT."""
        link.backlog += data
        while (message := self._next(link)) is not None:
            fault = self._due(message)
            if fault is None:
                super().from_client(link, message)
            elif not self._strike(link, fault, message):
                return

    def from_server(self, link: _Link, data: bytes) -> None:
        """Swallow the whole reply to a COMMIT that was struck, and do with the connection what the fault is."""
        if link.fault is None:
            super().from_server(link, data)
            return
        link.reply += data
        if not is_whole(link.reply):
            return
        if self._meanwhile is not None:
            self._meanwhile()
        fault, link.fault = link.fault, None
        self.struck.set()
        if fault is CommitFault.APPLIED:
            link.reset()
            return
        link.client.sendall(error_response(*_WORDS[fault]))
        if fault is CommitFault.POOLER_STAYS:
            link.client.sendall(READY)
        else:
            link.close()

    @staticmethod
    def _next(link: _Link) -> bytes | None:
        message, link.backlog = next_message(link.backlog, greeted=link.greeted)
        link.greeted = link.greeted or (message is not None and starts_session(message))
        return message

    def _due(self, message: bytes) -> CommitFault | None:
        fault = None
        if (statement_of(message) or b"").startswith(self._aim):
            self.statements += 1
            self._countdown -= 1
            if self._countdown < 0:
                fault, self._fault = self._fault, None
        return fault

    def _strike(self, link: _Link, fault: CommitFault, message: bytes) -> bool:
        """Strike; tell whether the connection goes on for now."""
        if fault is CommitFault.LOST:
            link.reset()
        elif fault is CommitFault.LATE:
            self._late.append((link, message))
            link.orphan()
        else:
            link.fault, link.reply = fault, b""
            link.server.sendall(message)
            return True
        self.struck.set()
        return False
