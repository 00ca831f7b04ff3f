"""Export by OTLP: to collectors that ask who sends, that speak TLS, and with what the operator says of the process."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from consumer.adapters.telemetry.metrics import PrometheusMetrics
from consumer.adapters.telemetry.tracing import Tracing
from consumer.domain.errors import ConfigurationError
from consumer.settings.connections import TelemetrySettings
from tests.support.certificates import Authority
from tests.support.otlp import Collector, receiving

PRODUCER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def export(collector: Collector, **settings: object) -> str:
    """Export one span, and return the id of its trace."""
    tracing = Tracing(TelemetrySettings.model_validate({"otlp_endpoint": collector.url, **settings}), role="consumer")
    with tracing.tracer.start_as_current_span("offload.plan") as span:
        pass
    tracing.shutdown()
    return f"{span.get_span_context().trace_id:032x}"


def test_headers_travel_with_every_request_and_are_shown_to_nobody() -> None:
    headers = {"Authorization": "Basic aGVsbG8=", "X-Scope-OrgID": "desk-7"}
    with receiving() as collector:
        export(collector, otlp_headers=headers)
        (request,) = collector.requests
    assert {name: request.headers[name] for name in headers} == headers
    assert "aGVsbG8=" not in repr(TelemetrySettings.model_validate({"otlp_headers": headers}))


def test_a_collector_behind_tls_is_reached_with_its_authority_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Authority(tmp_path, "others").certificate))
    authority = Authority(tmp_path, "collectors")
    context = authority.issue("collector", "IP:127.0.0.1").server_context()
    with receiving(context) as collector:
        sent = export(collector, otlp_ca_file=str(authority.certificate))
        assert {span.trace_id for span in collector.spans()} == {sent}
        export(collector)
        assert {span.trace_id for span in collector.spans()} == {sent}
    assert "Failed to export" in caplog.text


def test_an_authority_that_is_no_file_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"telemetry\.otlp_ca_file: .*none\.pem can't be used"):
        Tracing(TelemetrySettings(otlp_endpoint="https://c", otlp_ca_file=str(tmp_path / "none.pem")), role="consumer")


def test_resource_attributes_of_the_operator_stand_beside_those_of_the_process() -> None:
    with receiving() as collector:
        export(collector, resource={"deployment.environment.name": "desk-7"}, service_name="lake")
        (span,) = collector.spans()
    assert span.resource["deployment.environment.name"] == "desk-7"
    assert span.resource["service.name"] == "lake-consumer"
    assert span.resource.keys() >= {"service.namespace", "service.instance.id", "host.name", "process.pid"}


@pytest.mark.parametrize(("flags", "recorded"), [("01", 1), ("00", 0)])
def test_whoever_sends_the_event_decides_whether_its_trace_is_recorded(flags: str, recorded: int) -> None:
    sent = TraceContextTextMapPropagator().extract({"traceparent": f"{PRODUCER}-{flags}"})
    with receiving() as collector:
        for ratio in (0, 1):
            settings = TelemetrySettings(otlp_endpoint=collector.url, sample_ratio=ratio)
            tracing = Tracing(settings, role="consumer")
            tracing.tracer.start_span("process events", context=sent).end()
            tracing.shutdown()
        assert len(collector.spans(PRODUCER.split("-")[1])) == 2 * recorded


def exemplars(metrics: PrometheusMetrics) -> list[Sample]:
    """The samples of batch durations with an exemplar, as a scraper of OpenMetrics reads them."""
    body, content_type = metrics.render(OPEN_METRICS)
    assert content_type.startswith("application/openmetrics-text")
    families = text_string_to_metric_families(body.decode())  # type: ignore[no-untyped-call]
    return [sample for family in families for sample in family.samples if sample.exemplar is not None]


def test_the_batch_duration_has_the_trace_of_a_batch_as_its_exemplar(tmp_path: Path) -> None:
    metrics = PrometheusMetrics()
    tracing = Tracing(TelemetrySettings(trace_file=str(tmp_path / "t.jsonl")), role="consumer")
    with tracing.tracer.start_as_current_span("process events") as span:
        metrics.batch("trades", "window", "published", rows=1, bytes=1, seconds=0.3)
    tracing.shutdown()
    (sample,) = exemplars(metrics)
    assert (sample.name, sample.labels["le"]) == ("icehaul_batch_duration_seconds_bucket", "0.5")
    assert sample.exemplar is not None
    assert sample.exemplar.labels == {"trace_id": f"{span.get_span_context().trace_id:032x}"}
    assert sample.exemplar.value == 0.3


def test_a_batch_whose_trace_nobody_will_find_has_no_exemplar(tmp_path: Path) -> None:
    metrics = PrometheusMetrics()
    tracing = Tracing(TelemetrySettings(trace_file=str(tmp_path / "t.jsonl"), sample_ratio=0), role="consumer")
    with tracing.tracer.start_as_current_span("process events"):
        metrics.batch("trades", "window", "published", rows=1, bytes=1, seconds=0.3)
    metrics.batch("trades", "window", "published", rows=1, bytes=1, seconds=0.3)
    tracing.shutdown()
    assert exemplars(metrics) == []
