"""A receiver of OTLP over HTTP: it decodes what it is sent as a collector does, and keeps it."""

from __future__ import annotations

import gzip
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.support.receivers import running

Value = str | int | float | bool | None
KINDS = {getattr(Span, f"SPAN_KIND_{name}"): name for name in ("INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")}


@dataclass(frozen=True, kw_only=True)
class ReceivedLink:
    """A link, with ids in hexadecimal digits."""

    trace_id: str
    span_id: str
    attributes: Mapping[str, Value]


@dataclass(frozen=True, kw_only=True)
class ReceivedSpan:
    """A span as it came, with ids in hexadecimal digits; ``parent`` is empty for a root."""

    trace_id: str
    span_id: str
    parent: str
    name: str
    kind: str
    failed: bool
    attributes: Mapping[str, Value]
    links: Sequence[ReceivedLink]
    resource: Mapping[str, Value]
    raw: Span


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request for export."""

    path: str
    headers: Message
    body: ExportTraceServiceRequest


class Collector(ThreadingHTTPServer):
    """Receives on a free port of the loopback; ``context`` makes it speak TLS."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self._scheme = "http" if context is None else "https"
        super().__init__(("127.0.0.1", 0), _Receiver)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.server_address[1]}"

    def spans(self, trace_id: str | None = None) -> list[ReceivedSpan]:
        """All spans that came, or those of one trace, in the order of their starts."""
        found = [
            _span(span, _attributes(resource.resource.attributes))
            for request in list(self.requests)
            for resource in request.body.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        found.sort(key=lambda span: span.raw.start_time_unix_nano)
        return [span for span in found if trace_id in {None, span.trace_id}]

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that refuses the certificate ends the connection."""


class _Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        request = Request(path=self.path, headers=self.headers, body=ExportTraceServiceRequest.FromString(body))
        self.server.requests.append(request)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def receiving(context: ssl.SSLContext | None = None) -> Iterator[Collector]:
    """Run a collector for the length of a block."""
    with running(Collector(context)) as server:
        yield server


def _span(span: Span, resource: Mapping[str, Value]) -> ReceivedSpan:
    return ReceivedSpan(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        name=span.name,
        kind=KINDS[span.kind],
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        attributes=_attributes(span.attributes),
        links=[
            ReceivedLink(
                trace_id=link.trace_id.hex(), span_id=link.span_id.hex(), attributes=_attributes(link.attributes)
            )
            for link in span.links
        ],
        resource=resource,
        raw=span,
    )


def _attributes(pairs: Sequence[KeyValue]) -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    kind = value.WhichOneof("value")
    found: Value = None if kind is None else getattr(value, kind)
    return found
