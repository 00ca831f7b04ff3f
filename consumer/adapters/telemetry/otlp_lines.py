"""Spans as lines of OTLP/JSON, the format that the OpenTelemetry Collector's file exporter and receiver use."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext
from opentelemetry.util.types import AttributeValue

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
Object: TypeAlias = "dict[str, Json]"


_log = logging.getLogger(__name__)


class LinesSpanExporter(SpanExporter):
    """Appends one ``ExportTraceServiceRequest`` per line; several processes may share a file.

    Args:
        path: made, with its directories, at the first export.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._torn = False
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write spans; a file that can't be written to loses them, never the work they describe.

        The first loss is logged, and the end of it: a full disk would otherwise make a line of the log each second.
        """
        line = (json.dumps(request_of(spans), separators=(",", ":")) + "\n").encode()
        with self._lock:
            try:
                self._append(line)
            except OSError as error:
                if not self._lost:
                    _log.warning(
                        "telemetry.trace_file: spans are lost, for %s can't be written: %s. Remedy: free space there,"
                        " or correct the path; the work goes on without them",
                        self._path,
                        error,
                    )
                self._lost += len(spans)
                return SpanExportResult.FAILURE
            if self._lost:
                _log.warning("telemetry.trace_file: %s is written again; %d spans were lost", self._path, self._lost)
                self._lost = 0
        return SpanExportResult.SUCCESS

    def _append(self, line: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            # One write of an appending descriptor: lines of several processes do not mix. What follows a line of which
            # a full disk took only the beginning must not become a part of it.
            whole = b"\n" + line if self._torn else line
            written = os.write(file, whole)
        finally:
            os.close(file)
        if written < len(whole):
            self._torn = self._torn or written > 0
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._torn = False

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Do nothing: every export is written at once."""
        return True


def read_requests(paths: Sequence[Path], containing: str = "") -> Iterator[Object]:
    """Read the requests of several files, as far as they exist; a line that was not finished is left out.

    Lines in which the text ``containing`` does not stand are not parsed: files grow large, and a trace is a small part.
    """
    for path in filter(Path.exists, paths):
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if containing not in line:
                    continue
                try:
                    request = json.loads(line)
                except ValueError:
                    continue
                if isinstance(request, dict):
                    yield request


def request_of(spans: Sequence[ReadableSpan]) -> Object:
    """Return spans as an OTLP ``ExportTraceServiceRequest`` in its JSON encoding."""
    resources: list[Json] = []
    for resource, of_resource in groupby(spans, lambda span: span.resource):
        scopes: list[Json] = []
        for scope, of_scope in groupby(of_resource, lambda span: span.instrumentation_scope):
            named: Object = {"name": scope.name, "version": scope.version or ""} if scope else {}
            scopes.append(
                {
                    "scope": named,
                    "spans": [_span(span) for span in of_scope],
                    "schemaUrl": (scope.schema_url if scope else None) or "",
                }
            )
        described: Object = {"attributes": _attributes(resource.attributes)}
        resources.append({"resource": described, "scopeSpans": scopes, "schemaUrl": resource.schema_url})
    return {"resourceSpans": resources}


def _span(span: ReadableSpan) -> Json:
    encoded: Object = {
        **_ids(span.get_span_context()),
        "parentSpanId": f"{span.parent.span_id:016x}" if span.parent else "",
        "name": span.name,
        "kind": span.kind.value + 1,  # the SDK counts from 0, OTLP from 1
        "startTimeUnixNano": str(span.start_time or 0),
        "endTimeUnixNano": str(span.end_time or 0),
        "attributes": _attributes(span.attributes),
        "events": [
            {"timeUnixNano": str(event.timestamp), "name": event.name, "attributes": _attributes(event.attributes)}
            for event in span.events
        ],
        "links": [{**_ids(link.context), "attributes": _attributes(link.attributes)} for link in span.links],
        "status": {"code": span.status.status_code.value, "message": span.status.description or ""},
    }
    return encoded


def _ids(context: SpanContext | None) -> Object:
    if context is None:
        return {}
    return {"traceId": f"{context.trace_id:032x}", "spanId": f"{context.span_id:016x}"}


def _attributes(attributes: Mapping[str, AttributeValue] | None) -> list[Json]:
    return [{"key": key, "value": _value(value)} for key, value in (attributes or {}).items()]


def _value(value: object) -> Json:
    match value:
        case bool():
            return {"boolValue": value}
        case str():
            return {"stringValue": value}
        case int():
            return {"intValue": str(value)}  # 64-bit numbers are strings in protobuf's JSON
        case float():
            return {"doubleValue": value}
        case list() | tuple():
            return {"arrayValue": {"values": [_value(entry) for entry in value]}}
        case _:
            return {"stringValue": str(value)}
