"""The process's HTTP endpoints: ``/metrics``, ``/livez``, ``/readyz``, ``/startupz``, and the console's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

import structlog

from consumer.domain.errors import ConfigurationError
from consumer.entrypoints.http_messages import Answer, Request, Site, json_answer, wrong_method
from consumer.entrypoints.readiness import Readiness

_SOCKET_SECONDS = 10.0
"""After which a client that does not finish its request is dropped."""
_BODY_BYTES = 16_384
"""Bytes of a request's body that are read at most."""
_READS = "GET, HEAD"

_log = structlog.get_logger(__name__)


class Liveness:
    """Whether the process still turns; a restart is the only cure where it does not.

    Args:
        silence: returns the seconds since the loop turned last; 0 before it has begun.
        limit: seconds of silence that are not normal any more.
    """

    def __init__(self, silence: Callable[[], float], limit: float) -> None:
        self._silence = silence
        self._limit = limit

    @property
    def alive(self) -> bool:
        """Whether the loop turns."""
        return self._silence() <= self._limit

    def answer(self) -> Answer:
        """Return 200 while the loop turns, else 503."""
        silence = self._silence()
        alive = silence <= self._limit
        body = {"status": "alive" if alive else "stuck", "silence_seconds": round(silence, 3), "limit": self._limit}
        return json_answer(HTTPStatus.OK if alive else HTTPStatus.SERVICE_UNAVAILABLE, body)


class Startup:
    """Whether the process has come up: what was true once stays so, whatever happens later.

    Args:
        conditions: what has to be true once, by name.
    """

    def __init__(self, conditions: Mapping[str, Callable[[], bool]]) -> None:
        self._missing = dict(conditions)

    def missing(self) -> Mapping[str, Callable[[], bool]]:
        """Return the conditions that have not been true yet."""
        self._missing = {name: condition for name, condition in self._missing.items() if not condition()}
        return self._missing

    def answer(self) -> Answer:
        """Return 200 once every condition has been true, else 503 with those that have not."""
        missing = self.missing()
        body = {"status": "starting" if missing else "started", "waiting_for": sorted(missing)}
        return json_answer(HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK, body)


class HttpEndpoints:
    """Serves the endpoints from threads of its own; use it as a context manager.

    Args:
        host: address to listen on.
        port: port, 0 for a free one; see :attr:`port`.
        render_metrics: returns the metrics for an ``Accept`` header, and their content type.
        section: where the configuration has host and port.
        console: serves further paths.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        render_metrics: Callable[[str], tuple[bytes, str]],
        liveness: Liveness,
        readiness: Readiness,
        startup: Startup,
        section: str = "consumer",
        console: Site | None = None,
    ) -> None:
        self._render_metrics = render_metrics
        self._liveness = liveness
        self._readiness = readiness
        self._startup = startup
        routes = {
            "/metrics": self._metrics,
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/startupz": self._startupz,
        }
        try:
            self._server = _Server((host, port), routes, console)
        except OSError as error:
            raise ConfigurationError(
                f"{section}.http_host, {section}.http_port: can't listen on {host}:{port} ({error.strerror or error})",
                remedy="choose another port (0 takes a free one), or end the process that has it",
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="icehaul-http", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        _log.info("http.listening", host=self._server.server_address[0], port=self.port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _metrics(self, accept: str) -> Answer:
        body, content_type = self._render_metrics(accept)
        return Answer(HTTPStatus.OK, body, content_type)

    def _livez(self, _accept: str) -> Answer:
        return self._liveness.answer()

    def _startupz(self, _accept: str) -> Answer:
        return self._startup.answer()

    def _readyz(self, _accept: str) -> Answer:
        states = self._readiness.probe()
        ready = all(state == "ok" for state in states.values())
        body = {"status": "ready" if ready else "not ready", "checks": states}
        return json_answer(HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, body)


Routes = Mapping[str, Callable[[str], Answer]]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client that hangs must not keep the process from ending

    def __init__(self, address: tuple[str, int], routes: Routes, console: Site | None) -> None:
        self.routes = routes
        self.console = console
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log what went wrong with a client; the base class would print a traceback."""
        _log.debug("http.client_failed", client=str(client_address), request=str(type(request)), exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "icehaul"
    sys_version = ""
    timeout = _SOCKET_SECONDS
    server: _Server

    def __getattr__(self, name: str) -> object:
        """Answer every method: the base class asks for ``do_<METHOD>`` and would say 501 to most."""
        if name.startswith("do_"):
            return self._respond
        raise AttributeError(name)

    def _respond(self) -> None:
        answer = self._answer()
        # A body that was sent along may not have been read: the connection can't be used again.
        self.close_connection = True
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Connection", "close")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _answer(self) -> Answer:
        try:
            return self._routed(self._request())
        except Exception:  # noqa: BLE001 - whatever it is, the client gets an answer and the log the cause
            _log.exception("http.failed", path=self.path)
            return json_answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "see the log"})

    def _routed(self, request: Request) -> Answer:
        route = self.server.routes.get(request.path)
        if route is not None:
            return route(request.headers.get("accept", "")) if request.reads else wrong_method(_READS)
        answer = self.server.console.answer(request) if self.server.console is not None else None
        if answer is None:
            paths = sorted(self.server.routes)
            return json_answer(HTTPStatus.NOT_FOUND, {"error": "no such path", "paths": paths})
        return answer

    def _request(self) -> Request:
        target = urlsplit(self.path)
        return Request(
            method=self.command,
            path=unquote(target.path),
            query=dict(parse_qsl(target.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            client=self.client_address[0],
            body=self._body,
        )

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > _BODY_BYTES:
            return None
        return self.rfile.read(int(length))

    def log_message(self, format: str, *args: object) -> None:
        """Log requests at debug level: probes and scrapes are many."""
        _log.debug("http.request", client=self.client_address[0], line=format % args)
