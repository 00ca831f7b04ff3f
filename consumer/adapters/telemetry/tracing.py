"""Traces: the OpenTelemetry SDK with the exporters that the settings name."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from uuid import uuid4

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.semconv._incubating.attributes.host_attributes import HOST_NAME
from opentelemetry.semconv._incubating.attributes.process_attributes import PROCESS_PID
from opentelemetry.semconv.attributes.service_attributes import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_NAMESPACE,
    SERVICE_VERSION,
)
from opentelemetry.semconv.schemas import Schemas
from opentelemetry.trace import Tracer

from consumer import __version__
from consumer.adapters.telemetry.collector import exporter_to
from consumer.adapters.telemetry.otlp_lines import LinesSpanExporter
from consumer.adapters.telemetry.scrubbed_spans import ScrubbedSpans
from consumer.settings.connections import TelemetrySettings

TRACER = "icehaul"
"""Name of the instrumentation scope."""

_DELAY_MS = 1_000


class Tracing:
    """The tracer provider of one process.

    Args:
        role: which process this is (consumer, emitter, demo); a part of the service name.

    Raises:
        ConfigurationError: if ``telemetry.otlp_ca_file`` can't be read.
    """

    def __init__(self, settings: TelemetrySettings, *, role: str) -> None:
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.sample_ratio)),
            resource=Resource.create(
                {
                    **settings.resource,
                    SERVICE_NAME: _service_name(settings, role),
                    SERVICE_NAMESPACE: settings.service_name,
                    SERVICE_VERSION: __version__,
                    SERVICE_INSTANCE_ID: str(uuid4()),
                    HOST_NAME: socket.gethostname(),
                    PROCESS_PID: os.getpid(),
                },
                schema_url=Schemas.V1_44_0.value,
            ),
            shutdown_on_exit=False,
        )
        if settings.otlp_endpoint is not None:
            self._export_to(exporter_to(settings.otlp_endpoint, settings))
        if settings.trace_file is not None:
            self._export_to(LinesSpanExporter(Path(settings.trace_file)))

    def _export_to(self, exporter: SpanExporter) -> None:
        scrubbed = ScrubbedSpans(exporter)
        self._provider.add_span_processor(BatchSpanProcessor(scrubbed, schedule_delay_millis=_DELAY_MS))

    @property
    def tracer(self) -> Tracer:
        """The tracer of all of icehaul's spans."""
        return self._provider.get_tracer(TRACER, __version__, schema_url=Schemas.V1_44_0.value)

    def install(self) -> None:
        """Make this the process's provider, once, for code that asks OpenTelemetry for its tracer."""
        trace.set_tracer_provider(self._provider)

    def flush(self, seconds: float = 5.0) -> bool:
        """Export what is waiting; ``False`` if that was not done in time."""
        return self._provider.force_flush(int(seconds * 1000))

    def shutdown(self) -> None:
        """Export what is waiting, and stop."""
        self._provider.shutdown()


def sampled_trace() -> dict[str, str] | None:
    """Return the present trace as the labels of an exemplar; ``None`` where nobody will find it."""
    context = trace.get_current_span().get_span_context()
    return {"trace_id": f"{context.trace_id:032x}"} if context.is_valid and context.trace_flags.sampled else None


def _service_name(settings: TelemetrySettings, role: str) -> str:
    """Return the configured name with the role added, unless the name tells it."""
    return settings.service_name if role in settings.service_name else f"{settings.service_name}-{role}"
