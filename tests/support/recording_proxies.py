"""Proxies that keep what a client asks of its server: HTTP requests, and the statements that Postgres is sent."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.postgres_wire import next_message, starts_session
from tests.support.tcp_proxy import Link, TcpProxy

_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request as it was sent."""

    method: str
    target: str
    body: bytes

    @property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(urlsplit(self.target).path)

    @property
    def statement(self) -> str:
        """ClickHouse's statement, wherever in the request it stands."""
        asked = parse_qs(urlsplit(self.target).query).get("query", [])
        return "\n".join([*asked, self.body.decode("utf-8", "replace")]).strip()


class _Recorder(TcpProxy):
    """A proxy that keeps every byte of its clients. Traffic has to be unencrypted."""

    def __init__(self, upstream_port: int) -> None:
        super().__init__(upstream_port)
        self._said: defaultdict[Link, bytearray] = defaultdict(bytearray)
        self._guard = threading.Lock()

    def from_client(self, link: Link, data: bytes) -> None:
        """Keep the bytes, and pass them on."""
        with self._guard:
            self._said[link] += data
        super().from_client(link, data)

    def conversations(self) -> list[bytes]:
        """Return what was said so far on each connection."""
        with self._guard:
            return [bytes(one) for one in self._said.values()]


class HttpRecorder(_Recorder):
    """Keeps the requests to an HTTP server."""

    def requests(self) -> list[HttpRequest]:
        """Return all requests so far, connection by connection."""
        return [request for said in self.conversations() for request in _requests(said)]


class StatementRecorder(_Recorder):
    """Keeps the text of every statement that Postgres is sent."""

    def round_trips(self) -> list[str]:
        """Return what was sent before each answer that was waited for, connection by connection."""
        return [sent for said in self.conversations() for sent in _round_trips(said)]

    def statements(self) -> set[str]:
        """Return the texts of all statements so far, without the values that were bound to them."""
        return {statement for said in self.conversations() for statement in _statements(said)}


def _requests(said: bytes) -> list[HttpRequest]:
    found: list[HttpRequest] = []
    while _HEAD_END in said:
        head, _, rest = said.partition(_HEAD_END)
        line, *headers = head.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ", 2)
        named = {name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in headers)}
        if "chunked" in named.get("transfer-encoding", ""):
            body, said = _chunks(rest)
        else:
            length = int(named.get("content-length", "0"))
            body, said = rest[:length], rest[length:]
        found.append(HttpRequest(method, target, body))
    return found


def _chunks(rest: bytes) -> tuple[bytes, bytes]:
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        body, rest = body + rest[:length], rest[length + 2 :]
        if length == 0:
            break
    return body, rest


def _statements(said: bytes) -> set[str]:
    return {text for kind, text in _messages(said) if kind in {b"Q", b"P"}}


def _round_trips(said: bytes) -> Iterator[str]:
    """Yield the texts of the statements up to each message that a server answers by being ready: Query and Sync."""
    texts: list[str] = []
    for kind, text in _messages(said):
        if kind in {b"Q", b"P"}:
            texts.append(text)
        if kind in {b"Q", b"S"}:
            yield "; ".join(texts)
            texts = []


def _messages(said: bytes) -> Iterator[tuple[bytes, str]]:
    """Yield kind and statement of each message after the greeting; the statement is empty where it has none."""
    greeted = False
    while True:
        message, said = next_message(said, greeted=greeted)
        if message is None:
            return
        kind = message[:1]
        if greeted and kind == b"Q":
            yield kind, message[5:].rstrip(b"\0").decode()
        elif greeted and kind == b"P":
            yield kind, message[5:].split(b"\0", 2)[1].decode()
        elif greeted:
            yield kind, ""
        greeted = greeted or starts_session(message)
