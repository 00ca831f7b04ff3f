"""A TCP proxy that a test stops, cuts or silences, in front of any server."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
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

    def __init__(self, upstream_port: int, upstream_host: str = HOST) -> None:
        self._upstream = (upstream_host, upstream_port)
        self._lock = threading.Lock()
        self._links: set[Link] = set()
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
        listener.bind((HOST, self._port))
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

    def from_client(self, link: Link, data: bytes) -> None:
        """Handle bytes of the client; overridden by proxies that understand a protocol."""
        if self._speaking.is_set():
            link.server.sendall(data)

    def from_server(self, link: Link, data: bytes) -> None:
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
            for side in (client, server):
                # Else each message of several packets waits 40 ms for the acknowledgement of its first one.
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(client, server)
            with self._lock:
                self._links.add(link)
            for source, handle in ((client, self.from_client), (server, self.from_server)):
                threading.Thread(target=self._pump, args=(link, source, handle), daemon=True).start()

    def _pump(self, link: Link, source: socket.socket, handle: Callable[[Link, bytes], None]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                handle(link, data)
        # A side that hangs up in silence is not heard by the other one.
        self._speaking.wait()
        link.close()
        with self._lock:
            self._links.discard(link)


class Link:
    """One connection through the proxy."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
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
