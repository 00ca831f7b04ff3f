"""A REST catalog that misbehaves: a proxy in front of a real one, which answers commits as broken servers do."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of zero seconds: close sends RST
_LONGEST_S = 60.0
_HOP = {"connection", "transfer-encoding", "content-length", "host", "keep-alive"}


class Manner(StrEnum):
    """How a commit is answered."""

    STATUS = "status"
    """With an error of this status."""
    CUT = "cut"
    """Not at all: the connection is reset."""
    SILENCE = "silence"
    """Not at all: the connection stays open until the client gives up."""
    GARBAGE = "garbage"
    """With a page that is no JSON, and status 200."""
    TWICE = "twice"
    """The request is sent on a second time, and that answer is passed back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to the next commit; ``applied``: whether the server behind got it before."""

    manner: Manner
    applied: bool
    status: int = 0

    def __str__(self) -> str:
        what = f"{self.status}" if self.manner is Manner.STATUS else self.manner.value
        return f"{what}-{'after' if self.applied else 'before'}"


class RestProxy(ThreadingHTTPServer):
    """Forwards everything, but the next commit as ``strike`` says."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self.upstream = (str(parts.hostname), int(parts.port or 80))
        self.faults: list[Fault] = []
        self.commits = 0
        self.giving_up = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def uri(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def strike(self, *faults: Fault) -> None:
        """Have the next commits answered so, one each."""
        self.faults += faults

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up are what this is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RestProxy

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        fault = self._fault()
        if fault is None:
            self._send(*self._forward(body))
            return
        if fault.applied:
            self._forward(body)
        match fault.manner:
            case Manner.STATUS:
                self._send(fault.status, _error(fault.status))
            case Manner.GARBAGE:
                self._send(200, b"<html>sorry</html>")
            case Manner.TWICE:
                self._send(*self._forward(body))
            case Manner.CUT:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self.close_connection = True
                self.connection.close()
            case Manner.SILENCE:
                self.server.giving_up.wait(_LONGEST_S)
                self.close_connection = True

    def _fault(self) -> Fault | None:
        *_, parent, _table = self.path.split("?")[0].split("/")
        if self.command != "POST" or parent != "tables" or self.path.endswith("/rename"):
            return None
        self.server.commits += 1
        return self.server.faults.pop(0) if self.server.faults else None

    def _forward(self, body: bytes) -> tuple[int, bytes]:
        connection = HTTPConnection(*self.server.upstream, timeout=_LONGEST_S)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        try:
            connection.request(self.command, self.path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(body)


def _error(status: int) -> bytes:
    kind = "CommitFailedException" if status == 409 else "ServiceFailure"
    return json.dumps({"error": {"message": "made up", "type": kind, "code": status}}).encode()


@contextmanager
def rest_proxy(upstream: str) -> Iterator[RestProxy]:
    """A proxy in front of a REST catalog, for the length of a block."""
    proxy = RestProxy(upstream)
    thread = threading.Thread(target=proxy.serve_forever, name="rest-proxy", kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.giving_up.set()
        proxy.shutdown()
        proxy.server_close()
        thread.join()
