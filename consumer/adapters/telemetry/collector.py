"""The way to an OTLP/HTTP collector: address, headers, and the authority that its certificate is checked against."""

from __future__ import annotations

import ssl
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExporter
from requests import Session

from consumer.domain.errors import ConfigurationError
from consumer.settings.connections import TelemetrySettings

_TRACES_PATH = "/v1/traces"
_EXPORT_SECONDS = 3
"""How long one export is tried: also how long a collector that is gone may delay the end of the process."""


def exporter_to(endpoint: str, settings: TelemetrySettings) -> SpanExporter:
    """Return what sends spans to a collector, as protobuf.

    Raises:
        ConfigurationError: if ``telemetry.otlp_ca_file`` can't be read.
    """
    return OTLPSpanExporter(
        endpoint=traces_endpoint(endpoint),
        certificate_file=_authority(settings.otlp_ca_file),
        headers={name: value.get_secret_value() for name, value in settings.otlp_headers.items()} or None,
        timeout=_EXPORT_SECONDS,
        session=_OwnAuthority(),
    )


def traces_endpoint(endpoint: str) -> str:
    """Return the URL for traces of an OTLP/HTTP endpoint, given with or without its path."""
    return endpoint if endpoint.endswith(_TRACES_PATH) else endpoint.rstrip("/") + _TRACES_PATH


class _OwnAuthority(Session):
    """A session whose authority counts before that of the environment (REQUESTS_CA_BUNDLE), which requests prefers."""

    def merge_environment_settings(
        self,
        url: Any,  # noqa: ANN401 - as requests has it
        proxies: Any,  # noqa: ANN401
        stream: Any,  # noqa: ANN401
        verify: Any,  # noqa: ANN401
        cert: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Return what one request goes by."""
        own = self.verify if verify is None else verify
        return super().merge_environment_settings(url, proxies, stream, own, cert)


def _authority(path: str | None) -> str | None:
    """Return the file, once it is sure to be one: the exporter would find out with every export, and too late."""
    if path is None:
        return None
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"telemetry.otlp_ca_file: {path} can't be used: {error}",
            remedy="name a PEM file with the certificate authority of the collector, or leave it out",
        ) from error
    return path
