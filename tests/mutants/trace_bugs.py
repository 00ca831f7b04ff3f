"""Bugs by which a trace tells too much, too little, or of the wrong cause."""

from __future__ import annotations

from tests.mutants.bug import Bug, Edit

_SQL_SPANS = "consumer/adapters/telemetry/sql_spans.py"

BUGS = (
    Bug(
        name="statement_quoted_by_its_span",
        breaks="The exception of a driver, which quotes statement and values, is recorded in the span of a statement.",
        edits=(Edit(file=_SQL_SPANS, before="record_exception=False", after="record_exception=True"),),
        tests=("tests/unit/telemetry/test_sql_spans.py",),
    ),
    Bug(
        name="literals_taken_for_tables",
        breaks="A value in a query becomes a part of the name of its span.",
        edits=(
            Edit(
                file="consumer/adapters/telemetry/sql_summary.py",
                before="      '(?:[^'\\\\]|\\\\.|'')*(?:'|\\Z) | --",
                after="      --",
            ),
        ),
        tests=("tests/unit/telemetry/test_sql_spans.py",),
    ),
    Bug(
        name="spans_of_statements_without_bound",
        breaks="A reconcile of a thousand partitions floods its trace.",
        edits=(Edit(file=_SQL_SPANS, before="return count <= PER_SPAN_MAX", after="return True"),),
        tests=("tests/unit/telemetry/test_sql_spans.py",),
    ),
    Bug(
        name="task_spans_of_their_own",
        breaks="The span of a Spark task begins a trace of its own, which no event leads to.",
        edits=(
            Edit(
                file="consumer/adapters/spark/unit_spans.py",
                before='context=_PROPAGATOR.extract({"traceparent": outcome.traceparent}, context=Context()),',
                after="context=Context(),",
            ),
        ),
        tests=("tests/unit/spark/test_unit_spans.py",),
    ),
    Bug(
        name="exemplar_of_a_trace_that_nobody_has",
        breaks="The point of a slow batch in a dashboard leads to a trace that was not sampled.",
        edits=(
            Edit(
                file="consumer/adapters/telemetry/tracing.py",
                before=" if context.is_valid and context.trace_flags.sampled else None",
                after=" if context.is_valid else None",
            ),
        ),
        tests=("tests/unit/telemetry/test_otlp_export.py",),
    ),
)
