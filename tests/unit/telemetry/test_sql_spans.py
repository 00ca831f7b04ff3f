"""Spans of SQL say what a statement does to which table, and nothing of its text or its values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from consumer.adapters.telemetry.sql_spans import PER_SPAN_MAX, UNRECORDED, Server, System, sql_span
from consumer.adapters.telemetry.sql_summary import Summary, summarize, summarize_fixed

SERVER = Server(system=System.CLICKHOUSE, address="hot", port=8123, namespace="default")
SECRET = "hunter2-hunter2"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


def run(text: str, error: Exception | None = None, *, code: str | None = None, size: int | None = None) -> None:
    """Run a statement in a span as a driver's adapter does."""
    with sql_span(lambda: SERVER, lambda: summarize(text), lambda _: code, size=size):
        if error is not None:
            raise error


def below_a_step(spans: InMemorySpanExporter, text: str, *, size: int | None = None) -> ReadableSpan:
    with trace.get_tracer("test").start_as_current_span("offload.plan"):
        run(text, size=size)
    return spans.get_finished_spans()[0]


@pytest.mark.parametrize(
    ("statement", "summary"),
    [
        ("SELECT a, (SELECT max(b) FROM inner_one) FROM db.trades WHERE c = 'x'", "SELECT db.trades"),
        ("WITH seen AS (SELECT 1 FROM offload_batches) SELECT * FROM seen", "SELECT offload_batches"),
        ("-- FROM a comment\nINSERT INTO offload_batches AS batch (a) SELECT 1 FROM b", "INSERT offload_batches"),
        ("SELECT a IS DISTINCT FROM b FROM c", "SELECT c"),
        ('UPDATE "offload_watermarks" SET a = 1', "UPDATE offload_watermarks"),
        ("DELETE FROM offload_outbox WHERE n = 1", "DELETE offload_outbox"),
        ("select sum(h) from (select cityHash64(*) as h from `db`.`trades`)", "SELECT db.trades"),
        ("SELECT count() FROM s3('http://store/x', 'key', 'secret')", "SELECT s3"),
        ("ALTER TABLE db.trades DROP PARTITION ID 'x'", "ALTER db.trades"),
        ("CREATE OR REPLACE VIEW db.both AS SELECT 1 FROM x", "CREATE db.both"),
        ("SELECT now64(6, 'UTC')", "SELECT"),
        ("COMMIT", "COMMIT"),
        ("", "SQL"),
    ],
)
def test_a_statement_is_summed_up_as_its_operation_and_its_first_table(statement: str, summary: str) -> None:
    assert str(summarize(statement)) == summary
    assert summarize_fixed(statement.encode()) == summarize(statement)


@given(value=st.text(), ended=st.booleans())
def test_no_value_of_a_statement_gets_into_its_summary(value: str, ended: bool) -> None:
    literal = value.replace("\\", "\\\\").replace("'", "\\'")
    statement = f"SELECT f('{literal}') AS a FROM trades WHERE a = '{literal}"
    assert summarize(statement + "'" * ended) == Summary("SELECT", "trades")
    assert summarize(f"'{literal}' SELECT a FROM s3('{literal}") == Summary("SELECT", "s3")


def test_a_span_of_sql_has_the_names_of_the_conventions_and_no_text(spans: InMemorySpanExporter) -> None:
    span = below_a_step(spans, f"SELECT '{SECRET}' FROM db.trades", size=3)
    assert (span.name, span.kind) == ("SELECT db.trades", SpanKind.CLIENT)
    assert dict(span.attributes or {}) == {
        "db.system.name": "clickhouse",
        "db.namespace": "default",
        "db.collection.name": "db.trades",
        "db.operation.name": "SELECT",
        "db.operation.batch.size": 3,
        "db.query.summary": "SELECT db.trades",
        "server.address": "hot",
        "server.port": 8123,
    }


def test_a_statement_without_a_table_is_named_after_the_database(spans: InMemorySpanExporter) -> None:
    assert below_a_step(spans, "COMMIT").name == "COMMIT default"


@pytest.mark.parametrize(("code", "type_"), [("60", "60"), (None, "ValueError")])
def test_a_failed_statement_tells_its_code_and_not_what_the_driver_quotes(
    spans: InMemorySpanExporter, code: str | None, type_: str
) -> None:
    tracer = trace.get_tracer("test")
    with tracer.start_as_current_span("offload.plan"), pytest.raises(ValueError, match=SECRET):
        run("SELECT 1 FROM trades", ValueError(f"LINE 1: {SECRET}"), code=code)
    span = spans.get_finished_spans()[0]
    attributes = dict(span.attributes or {})
    assert (attributes.get("db.response.status_code"), attributes["error.type"]) == (code, type_)
    assert (span.status.status_code, span.status.description, span.events) == (StatusCode.ERROR, None, ())
    assert SECRET not in span.to_json()


def test_statements_outside_of_a_trace_make_no_trace_of_their_own(spans: InMemorySpanExporter) -> None:
    run("SELECT 1 FROM trades")
    assert spans.get_finished_spans() == ()


def test_a_step_with_many_statements_has_a_bounded_number_of_spans_and_counts_the_rest(
    spans: InMemorySpanExporter,
) -> None:
    with trace.get_tracer("test").start_as_current_span("offload.reconcile"):
        for _ in range(PER_SPAN_MAX + 7):
            run("SELECT 1 FROM trades")
    *statements, step = spans.get_finished_spans()
    assert len(statements) == PER_SPAN_MAX
    assert dict(step.attributes or {}) == {UNRECORDED: 7}
