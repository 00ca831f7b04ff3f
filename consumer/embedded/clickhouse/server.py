"""The HTTP side: connections, routes, and how replies and errors are put on the wire."""

from __future__ import annotations

import hmac
import logging
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedReader
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from consumer.embedded.clickhouse.body import BodyReader, PlainBody
from consumer.embedded.clickhouse.compression import decode
from consumer.embedded.clickhouse.engine import Engine, Rights
from consumer.embedded.clickhouse.errors import ClientGoneError, ErrorCode, QueryError, http_status
from consumer.embedded.clickhouse.executor import Executor
from consumer.embedded.clickhouse.external import ExternalTable, external_tables, read_form
from consumer.embedded.clickhouse.framing import compress, decompress
from consumer.embedded.clickhouse.limits import Limits
from consumer.embedded.clickhouse.reply import Reply
from consumer.embedded.clickhouse.request import (
    QueryRequest,
    parameter_name,
    read_credentials,
    read_fields,
    read_query,
)
from consumer.embedded.clickhouse.running import RunningQueries
from consumer.embedded.clickhouse.sessions import Sessions
from consumer.embedded.clickhouse.spool import Spool

log = logging.getLogger(__name__)

_PIECE_BYTES = 1024 * 1024
_QUERY_PATHS = frozenset({"/", "/query", "/play"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user who may log in; one without ``rights`` of its own may do everything."""

    user: str
    password: str = field(repr=False)
    rights: Rights | None = None


class ClickHouseServer(ThreadingHTTPServer):
    """Listens on loopback; one thread per connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(
        self, port: int, *, engine: Engine, spool_dir: Path, accounts: Sequence[Account], limits: Limits
    ) -> None:
        self.engine = engine
        self.accounts = accounts
        self.limits = limits
        self.display_name = socket.gethostname()
        self.spool = Spool(spool_dir)
        self.sessions = Sessions(engine, limits.sessions_max)
        self.running = RunningQueries(engine, limits.queries_max)
        self.executor = Executor(engine, self.sessions, self.running, self.spool, limits)
        self._slots = threading.BoundedSemaphore(limits.connections_max)
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), Handler)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Serve a connection in a new thread, or turn it away if there are too many."""
        assert isinstance(request, socket.socket)  # noqa: S101 - a TCP server's requests are sockets
        if not self._slots.acquire(blocking=False):
            request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Serve a connection to its end."""
        assert isinstance(request, socket.socket)  # noqa: S101 - see above
        self._connections.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.discard(request)
            self._slots.release()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base's signature
        """Log what broke a connection; a client that just went away is nothing to report."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            log.error("connection broke", exc_info=error)

    def stop(self) -> bool:
        """Take no more requests, end the running ones; return whether all ended in time."""
        self.running.refuse_more()
        ended = self.running.wait_for_end(self.limits.stop_grace_s)
        if not ended:
            self.running.cancel_all()
            ended = self.running.wait_for_end(self.limits.cancel_grace_s)
        self.shutdown()
        self.server_close()
        if not ended:
            # A statement whose client does not read waits for the client, not for the engine.
            for connection in self._connections.copy():
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            ended = self.running.wait_for_end(self.limits.cancel_grace_s)
        if ended:
            self.sessions.close()
        return ended


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: ClickHouseServer
    protocol_version = "HTTP/1.1"
    server_version = "ClickHouse"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024
    _PLAIN_ROUTES: ClassVar[dict[str, bytes]] = {"/ping": b"Ok.\n", "/replicas_status": b"Ok.\n"}

    def setup(self) -> None:
        """Prepare the connection."""
        self._head_sent = False
        self._query_id: str | None = None
        self._account: Account | None = None
        super().setup()
        self.connection.settimeout(self.server.limits.idle_timeout_s)

    def do_GET(self) -> None:
        """Answer a read-only query, or a plain route."""
        self._answer()

    def do_HEAD(self) -> None:
        """Answer like GET, without a body."""
        self._answer()

    def do_POST(self) -> None:
        """Answer any query."""
        self._answer()

    def do_OPTIONS(self) -> None:
        """Answer a browser's preflight: nothing is allowed across origins."""
        self._send(HTTPStatus.NO_CONTENT, {}, b"")

    def handle_expect_100(self) -> bool:
        """Ask for the body, unless it is already known to be too large."""
        length = self.headers.get("Content-Length", "0")
        if length.isdecimal() and int(length) > self.server.limits.body_bytes_max:
            return True
        proceed = super().handle_expect_100()
        self.wfile.flush()
        return proceed

    def log_message(self, format: str, *args: object) -> None:
        """Log protocol errors; requests log themselves without their query string, which may hold secrets."""
        log.debug(format, *args)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Do nothing: see ``_answer``."""

    def _answer(self) -> None:
        started_s = time.monotonic()
        self._head_sent = False
        self._query_id = None
        self._account = None
        self._status = HTTPStatus.OK
        code = 0
        path = urlsplit(self.path)
        body: BodyReader | None = None
        try:
            body = BodyReader(self.rfile, self.headers, self.server.limits.body_bytes_max)
            self._route(path.path, path.query, body)
        except QueryError as error:
            code = error.code
            self._refuse(error, body)
        except (ClientGoneError, ConnectionError, TimeoutError) as error:
            self.close_connection = True
            code = ErrorCode.ABORTED
            log.info("client gone: %s", type(error).__name__)
        except OSError as error:
            code = ErrorCode.STD_EXCEPTION
            log.exception("the server's own files or pipes failed")
            self._refuse(QueryError(f"{error}", code=code, remedy="See the server's log and free disk space"), body)
        finally:
            log.info(
                "%s %s %d code=%d query_id=%s %.1f ms",
                self.command, path.path, self._status, code, self._query_id, (time.monotonic() - started_s) * 1e3,
            )  # fmt: skip

    def _route(self, path: str, query_string: str, body: BodyReader) -> None:
        if path in self._PLAIN_ROUTES or (path == "/" and self.command != "POST" and not query_string):
            body.drain()
            self._send(HTTPStatus.OK, {"Content-Type": "text/html; charset=UTF-8"}, b"Ok.\n")
        elif path in _QUERY_PATHS:
            self._query(query_string, body)
        else:
            body.drain()
            self._send(HTTPStatus.NOT_FOUND, {}, f"There is no handle {path}\n\nUse / or /ping.\n".encode())

    def _query(self, query_string: str, body: BodyReader) -> None:
        server = self.server
        fields = read_fields(query_string)
        self._account = self._authenticate(fields)
        if self.command == "POST" and not body.framed:
            raise QueryError(
                "The Transfer-Encoding is not chunked and there is no Content-Length header for POST request",
                code=ErrorCode.HTTP_LENGTH_REQUIRED,
            )
        request = replace(read_query(self.command, self.headers, fields, server.limits), rights=self._account.rights)
        with ExitStack() as resources:
            running = resources.enter_context(server.running.admit(request.query_id, replace=request.replace_running))
            self._query_id = running.query_id
            chunks = decode(self.headers.get("Content-Encoding", ""), body.chunks())
            if request.native_decompression:
                chunks = decompress(chunks)
            plain, tables = self._unpack_form(request, PlainBody(chunks, server.limits.body_bytes_max))
            reply = server.executor.execute(request, running, plain, tables, peer=self.connection, resources=resources)
            body.drain()
            self._send_reply(request, reply, resources)

    def _authenticate(self, fields: dict[str, str]) -> Account:
        credentials = read_credentials(self.headers, fields)
        for account in self.server.accounts:
            same_user = hmac.compare_digest(credentials.user.encode(), account.user.encode())
            same_password = hmac.compare_digest(credentials.password.encode(), account.password.encode())
            if same_user and same_password:
                return account
        raise QueryError(
            f"{credentials.user}: Authentication failed: password is incorrect, or there is no user with such name",
            code=ErrorCode.AUTHENTICATION_FAILED,
            remedy="Use a user and password the server was started with",
        )

    def _unpack_form(self, request: QueryRequest, plain: PlainBody) -> tuple[PlainBody, list[ExternalTable]]:
        """Take query, parameters and external tables out of a multipart form, if the body is one."""
        if not self.headers.get("Content-Type", "").lower().startswith("multipart/form-data"):
            return plain, []
        limit = self.server.limits.form_bytes_max
        data = plain.head(limit + 1)
        if len(data) > limit:
            raise QueryError(f"The form is larger than {limit} bytes", code=ErrorCode.QUERY_IS_TOO_LARGE)
        form = read_form(self.headers, data)
        for name, value in form.fields.items():
            if name.startswith("param_"):
                request.parameters[parameter_name(name)] = value.decode("utf-8", "surrogateescape")
        described = {**request.form_fields, **{n: v.decode() for n, v in form.fields.items() if n != "query"}}
        query = PlainBody([form.fields.get("query", b"")], limit)
        return query, external_tables(form.files, described)

    def _send_reply(self, request: QueryRequest, reply: Reply, resources: ExitStack) -> None:
        """Send a reply.

        Session and query id are given back before its last byte leaves, since the client's next request may be here
        before that byte has been dealt with.
        """
        headers, body = reply.headers(), reply.body
        if isinstance(body, BufferedReader):
            with body:
                resources.close()
                if request.native_compression:
                    self._send_stream(reply.status, headers, compress(_pieces(body)))
                else:
                    self._send_file(reply.status, headers, body)
        elif isinstance(body, bytes):
            resources.close()
            self._send(reply.status, headers, b"".join(compress([body])) if request.native_compression else body)
        else:
            chunks = _then_close(body, resources)
            self._send_stream(reply.status, headers, compress(chunks) if request.native_compression else chunks)

    def _refuse(self, error: QueryError, body: BodyReader | None) -> None:
        """Answer with an exception, after reading what the client still sends."""
        if self._head_sent:
            self.close_connection = True
            return
        if body is None or error.code == ErrorCode.QUERY_IS_TOO_LARGE:
            self.close_connection = True
        else:
            try:
                body.drain()
            except QueryError:
                self.close_connection = True
        text = self.server.spool.hide(error.wire_text(self.server.engine.version)) + "\n"
        if self._account is not None:
            # The engine has one user, whose roles are the accounts.
            text = text.replace("DB::Exception: default: ", f"DB::Exception: {self._account.user}: ", 1)
        headers = {"Content-Type": "text/plain; charset=UTF-8", "X-ClickHouse-Exception-Code": str(error.code)}
        self._send(http_status(error.code), headers, text.encode("utf-8", "backslashreplace"))

    def _send_head(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self.connection.settimeout(self.server.limits.send_timeout_s)
        self._head_sent = True
        self._status = status
        self.send_response(status)
        self.send_header("Connection", "close" if self.close_connection else "Keep-Alive")
        if not self.close_connection:
            self.send_header("Keep-Alive", f"timeout={int(self.server.limits.idle_timeout_s)}")
        self.send_header("X-ClickHouse-Server-Display-Name", self.server.display_name)
        if self._query_id is not None:
            self.send_header("X-ClickHouse-Query-Id", self._query_id)
            self.send_header("X-ClickHouse-Timezone", self.server.engine.timezone)
        for name, value in headers.items():
            self.send_header(name, value)

    def _send(self, status: HTTPStatus, headers: dict[str, str], body: bytes) -> None:
        self._send_head(status, headers)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self._flush()

    def _send_file(self, status: HTTPStatus, headers: dict[str, str], file: BufferedReader) -> None:
        self._send_head(status, headers)
        self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
        self.end_headers()
        self.wfile.flush()
        if self.command != "HEAD":
            self.connection.sendfile(file)
        self._flush()

    def _send_stream(self, status: HTTPStatus, headers: dict[str, str], chunks: Iterator[bytes]) -> None:
        """Send a body of unknown length; an error within it breaks the transfer, so that nobody takes it for whole."""
        tag = secrets.token_hex(8)
        chunked = self.request_version != "HTTP/1.0"
        self.close_connection = self.close_connection or not chunked
        self._send_head(status, {**headers, "X-ClickHouse-Exception-Tag": tag})
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.command == "HEAD":
            self._flush()
            return
        try:
            for chunk in chunks:
                self._write_chunk(chunk, chunked=chunked)
        except QueryError as error:
            if "Content-Encoding" not in headers:
                self._write_chunk(_exception_block(error, self.server.engine.version, tag), chunked=chunked)
            self.wfile.flush()
            raise
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        self._flush()

    def _write_chunk(self, data: bytes, *, chunked: bool) -> None:
        if not data:
            return
        if chunked:
            self.wfile.write(b"%x\r\n" % len(data))
        self.wfile.write(data)
        if chunked:
            self.wfile.write(b"\r\n")

    def _flush(self) -> None:
        self.wfile.flush()
        self.connection.settimeout(self.server.limits.idle_timeout_s)


def _exception_block(error: QueryError, version: str, tag: str) -> bytes:
    """An exception after the first rows, in the shape that clients of 25.11 and later look for."""
    text = error.wire_text(version).encode("utf-8", "backslashreplace") + b"\n"
    head = b"\r\n__exception__\r\n" + tag.encode() + b"\r\n"
    return head + text + b"%d " % len(text) + tag.encode() + b"\r\n__exception__\r\n"


def _pieces(file: BufferedReader) -> Iterator[bytes]:
    while data := file.read(_PIECE_BYTES):
        yield data


def _then_close(chunks: Iterator[bytes], resources: ExitStack) -> Iterator[bytes]:
    yield from chunks
    resources.close()
