"""Spans of SQL statements, by OpenTelemetry's conventions for databases: what they do to which table, never their text.

A driver's exception quotes the statement, its values, and the row that it met, so no exception is recorded in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from weakref import WeakKeyDictionary

from opentelemetry import trace
from opentelemetry.semconv._incubating.attributes.db_attributes import DbSystemNameValues
from opentelemetry.semconv.attributes.db_attributes import (
    DB_COLLECTION_NAME,
    DB_NAMESPACE,
    DB_OPERATION_BATCH_SIZE,
    DB_OPERATION_NAME,
    DB_QUERY_SUMMARY,
    DB_RESPONSE_STATUS_CODE,
    DB_SYSTEM_NAME,
)
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from consumer.adapters.telemetry.sql_summary import Summary
from consumer.service.steps import TRACER

System = DbSystemNameValues
"""Database systems, as spans name them."""

PER_SPAN_MAX = 32
"""Statements recorded below one span; what comes after them is only counted, so that no batch floods its trace."""
UNRECORDED = "offload.statements.unrecorded"
"""Attribute of a span: how many statements below it have no span of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The server and the database that a statement is sent to."""

    system: System
    address: str
    port: int
    namespace: str


@contextmanager
def sql_span(
    server: Callable[[], Server],
    summary: Callable[[], Summary],
    code: Callable[[Exception], str | None],
    *,
    size: int | None = None,
) -> Iterator[None]:
    """Run a statement in a span of its own, where a trace is being recorded; elsewhere it costs next to nothing.

    Args:
        server: where it goes.
        summary: what it does.
        code: returns the server's code of an exception, if it has one.
        size: how many times it is run at once, if not once.
    """
    parent = trace.get_current_span()
    if not parent.is_recording() or not _admitted(parent):
        yield
        return
    there, what = server(), summary()
    attributes = _attributes(there, what)
    if size is not None and size > 1:
        attributes[DB_OPERATION_BATCH_SIZE] = size
    with trace.get_tracer(TRACER).start_as_current_span(
        f"{what.operation} {what.target or there.namespace}",
        kind=SpanKind.CLIENT,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except Exception as error:
            _fail(span, error, code(error))
            raise


def _attributes(server: Server, summary: Summary) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        DB_SYSTEM_NAME: server.system.value,
        DB_NAMESPACE: server.namespace,
        DB_OPERATION_NAME: summary.operation,
        DB_QUERY_SUMMARY: str(summary),
        SERVER_ADDRESS: server.address,
        SERVER_PORT: server.port,
    }
    if summary.target is not None:
        attributes[DB_COLLECTION_NAME] = summary.target
    return attributes


def _fail(span: Span, error: Exception, code: str | None) -> None:
    span.set_attribute(ERROR_TYPE, code or type(error).__qualname__)
    if code is not None:
        span.set_attribute(DB_RESPONSE_STATUS_CODE, code)
    span.set_status(Status(StatusCode.ERROR))


_counts: WeakKeyDictionary[Span, int] = WeakKeyDictionary()
_counting = Lock()


def _admitted(parent: Span) -> bool:
    """Count a statement below a span, and tell whether it may have a span of its own."""
    with _counting:
        count = _counts[parent] = _counts.get(parent, 0) + 1
    if count > PER_SPAN_MAX:
        parent.set_attribute(UNRECORDED, count - PER_SPAN_MAX)
    return count <= PER_SPAN_MAX
