"""Receivers of notifications that keep what they are sent: an HTTP server for webhooks and Slack, and a mail server."""

from __future__ import annotations

import base64
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar, cast

Served = TypeVar("Served", bound=socketserver.BaseServer)


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the HTTP server, with its JSON."""

    path: str
    authorization: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mail:
    """One message that the mail server took, with the credentials that its sender gave."""

    sender: str
    recipients: tuple[str, ...]
    credentials: tuple[str, str] | None
    message: EmailMessage

    def part(self, kind: str) -> str:
        """The text of its part ``plain`` or ``html``."""
        found = self.message.get_body((cast("Any", kind),))
        assert found is not None, f"no {kind} part"
        return str(found.get_content())


class WebServer(ThreadingHTTPServer):
    """Answers 200 to every POST, and keeps it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.calls: list[Call] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def to(self, path: str) -> list[Call]:
        """What came to one path, oldest first."""
        return [call for call in self.calls if call.path == path]


class _Requests(BaseHTTPRequestHandler):
    server: WebServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.calls.append(Call(self.path, self.headers.get("Authorization", ""), body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class MailServer(socketserver.ThreadingTCPServer):
    """Takes every message that it is sent by SMTP, and keeps it."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.mails: list[Mail] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


@dataclass
class _Envelope:
    sender: str = ""
    recipients: list[str] = field(default_factory=list)


class _Session(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        envelope, credentials = _Envelope(), None
        self._say("220 mail.example ready")
        while line := self.rfile.readline().decode().strip():
            verb, _, rest = line.partition(" ")
            match verb.upper():
                case "EHLO":
                    self._say("250-mail.example\r\n250 AUTH PLAIN")
                case "AUTH":
                    _, user, password = base64.b64decode(rest.removeprefix("PLAIN ")).decode().split("\0")
                    credentials = (user, password)
                    self._say("235 welcome")
                case "MAIL":
                    envelope = _Envelope(sender=_address(rest))
                    self._say("250 yes")
                case "RCPT":
                    envelope.recipients.append(_address(rest))
                    self._say("250 yes")
                case "DATA":
                    self._say("354 go on, and end with a dot")
                    message = message_from_bytes(self._data(), policy=policy.default)
                    assert isinstance(message, EmailMessage)
                    mail = Mail(envelope.sender, tuple(envelope.recipients), credentials, message)
                    self.server.mails.append(mail)
                    self._say("250 taken")
                case "QUIT":
                    self._say("221 bye")
                    return
                case _:
                    self._say("502 not here")

    def _data(self) -> bytes:
        lines: list[bytes] = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line[1:] if line.startswith(b"..") else line)
        return b"".join(lines)

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


def _address(text: str) -> str:
    return text.partition("<")[2].partition(">")[0]


@contextmanager
def running(server: Served) -> Iterator[Served]:
    """Serve until the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
