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
        self.awaiting_reply = False
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


class PostgresProxy(TcpProxy):
    """A proxy that frames the client's messages, to strike at a COMMIT. Traffic has to be unencrypted."""

    def __init__(self, upstream_port: int, upstream_host: str = _HOST) -> None:
        super().__init__(upstream_port, upstream_host)
        self._fault: CommitFault | None = None
        self._countdown = 0
        self._late: list[tuple[_Link, bytes]] = []
        self.struck = threading.Event()

    def strike(self, fault: CommitFault, *, skip: int = 0) -> None:
        """Let ``fault`` happen to the next COMMIT, after ``skip`` ones that pass."""
        self.struck.clear()
        self._countdown = skip
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
        while (message := _next_message(link)) is not None:
            if self._fault is None or not _is_commit(message):
                super().from_client(link, message)
            elif self._countdown > 0:
                self._countdown -= 1
                super().from_client(link, message)
            else:
                fault, self._fault = self._fault, None
                self._strike(link, fault, message)
                return

    def from_server(self, link: _Link, data: bytes) -> None:
        """Swallow the reply to a COMMIT that was struck, and break the connection."""
        if link.awaiting_reply:
            self.struck.set()
            link.reset()
            return
        super().from_server(link, data)

    def _strike(self, link: _Link, fault: CommitFault, message: bytes) -> None:
        match fault:
            case CommitFault.APPLIED:
                link.awaiting_reply = True
                link.server.sendall(message)
            case CommitFault.LOST:
                link.reset()
                self.struck.set()
            case CommitFault.LATE:
                self._late.append((link, message))
                link.orphan()
                self.struck.set()


def _next_message(link: _Link) -> bytes | None:
    """Take the next whole message from the backlog: type byte and length, but a bare length before the greeting."""
    header = 5 if link.greeted else 4
    if len(link.backlog) < header:
        return None
    (length,) = struct.unpack("!i", link.backlog[header - 4 : header])
    end = length + header - 4
    if len(link.backlog) < end:
        return None
    message, link.backlog = link.backlog[:end], link.backlog[end:]
    if not link.greeted:
        (code,) = struct.unpack("!i", message[4:8])
        # Anything but a request for TLS or GSS encryption (1234.567x), or a cancellation, starts the session.
        link.greeted = code >> 16 != 1234
    return message


def _is_commit(message: bytes) -> bool:
    return message[:1] in {b"Q", b"P"} and b"commit" in message.lower()[:32]
