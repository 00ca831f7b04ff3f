"""A proxy that understands HTTP in front of the object store: it answers chosen requests as a store in trouble does."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from tests.support.tcp_proxy import Link, TcpProxy

_REQUEST = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.1\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_BODY = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a store answers instead of doing what it is asked for; without a status it resets the connection."""

    status: int | None
    code: str = ""
    message: str = ""

    def answer(self, method: bytes) -> bytes:
        """The answer to a request, as it goes over the wire."""
        body = b"" if method == b"HEAD" else _BODY.format(code=self.code, message=self.message).encode()
        head = f"HTTP/1.1 {self.status} {self.code}\r\nContent-Type: application/xml\r\nConnection: close\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


SLOW_DOWN = Refusal(503, "SlowDown", "Please reduce your request rate.")
INTERNAL = Refusal(500, "InternalError", "We encountered an internal error, please try again.")
FULL = Refusal(507, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold.")
WRONG_KEY = Refusal(403, "SignatureDoesNotMatch", "The request signature we calculated does not match.")
NO_BUCKET = Refusal(404, "NoSuchBucket", "The specified bucket does not exist")
RESET = Refusal(None)


@dataclass
class _Rule:
    pattern: re.Pattern[str]
    refusal: Refusal
    left: float


class StoreProxy(TcpProxy):
    """Forwards requests, but those that match a rule; rules are matched against ``METHOD /bucket/key?query``.

    ``refused`` counts what was answered in the store's place, by the name under which the rule was given.
    """

    def __init__(self, upstream_port: int) -> None:
        super().__init__(upstream_port)
        self._rules: dict[str, _Rule] = {}
        self._requests: WeakKeyDictionary[Link, _Requests] = WeakKeyDictionary()
        self._deciding = threading.Lock()
        self.refused: Counter[str] = Counter()

    def disturb(self, name: str, pattern: str, refusal: Refusal, *, times: float = float("inf")) -> None:
        """Refuse matching requests, all of them or the first ``times``."""
        with self._deciding:
            self._rules[name] = _Rule(re.compile(pattern), refusal, times)

    def calm(self, name: str) -> None:
        """Let the requests of a rule through again."""
        with self._deciding:
            self._rules.pop(name, None)

    def from_client(self, link: Link, data: bytes) -> None:
        """Forward the client's bytes, request by request."""
        requests = self._requests.setdefault(link, _Requests())
        for piece, head in requests.cut(data):
            if head:
                self.asked(link, _request(piece))
            if head and (refusal := self._refusal(piece)) is not None:
                self._requests.pop(link, None)
                self._refuse(link, piece, refusal)
                return
            super().from_client(link, piece)

    def asked(self, link: Link, request: str) -> None:
        """Hear of a request; overridden by proxies that keep a record."""

    def _refusal(self, head: bytes) -> Refusal | None:
        request = _request(head)
        with self._deciding:
            for name, rule in self._rules.items():
                if rule.left > 0 and rule.pattern.search(request):
                    rule.left -= 1
                    self.refused[name] += 1
                    return rule.refusal
        return None

    def _refuse(self, link: Link, head: bytes, refusal: Refusal) -> None:
        if refusal.status is None:
            link.reset()
            return
        # A body need not be read: a client that sends one waits for leave to do so.
        link.client.sendall(refusal.answer(head.split(b" ", 1)[0]))
        link.close()


def _request(head: bytes) -> str:
    found = _REQUEST.match(head)
    assert found is not None, head
    return f"{found[1].decode()} {found[2].decode()}"


class _Requests:
    """Cuts what a client sends on one connection into heads and pieces of bodies."""

    def __init__(self) -> None:
        self._bytes = b""
        self._left = 0
        self._chunked = False
        self._trailing = False

    def cut(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Yield the pieces that are whole by now, and whether they are the head of a request."""
        self._bytes += data
        while self._bytes:
            head = not self._left and not self._chunked
            end = self._end(head)
            if not end:
                return
            piece, self._bytes = self._bytes[:end], self._bytes[end:]
            self._account(piece, head)
            yield piece, head

    def _end(self, head: bool) -> int:
        """Where the next piece ends; 0 if more has to come first."""
        if self._left:
            return min(self._left, len(self._bytes))
        mark = b"\r\n\r\n" if head else b"\r\n"
        found = self._bytes.find(mark)
        return 0 if found < 0 else found + len(mark)

    def _account(self, piece: bytes, head: bool) -> None:
        if head:
            length = _LENGTH.search(piece)
            self._left = int(length[1]) if length else 0
            self._chunked = _CHUNKED.search(piece) is not None
        elif self._left:
            self._left -= len(piece)
        elif self._trailing:
            self._chunked = self._trailing = piece != b"\r\n"
        else:
            size = int(piece.split(b";")[0], 16)
            self._left = size + 2 if size else 0
            self._trailing = size == 0
