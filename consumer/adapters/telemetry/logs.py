"""Logs: for people on a terminal, one JSON object per line elsewhere; always on standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, TextIO

import structlog
from opentelemetry import trace
from pydantic import SecretStr

from consumer.adapters.telemetry.redaction import is_secret, scrub
from consumer.domain.secrets import HIDDEN
from consumer.settings.connections import TelemetrySettings

_NOISY = {
    "py4j": logging.WARNING,
    "pyspark": logging.WARNING,
    "pyiceberg": logging.WARNING,
    "botocore": logging.WARNING,
    "clickhouse_connect": logging.WARNING,
    "urllib3": logging.WARNING,
    "psycopg.pool": logging.ERROR,  # every failed attempt to connect, which our own errors tell once
    "confluent_kafka": logging.CRITICAL,  # each failed attempt to connect; our error callback tells it once
    "opentelemetry": logging.ERROR,
}

_MAX_DEPTH = 6


def configure_logging(settings: TelemetrySettings, *, stream: TextIO | None = None) -> None:
    """Send the logs of icehaul and of all libraries through structlog to ``stream`` (standard error)."""
    stream = stream or sys.stderr
    console = settings.log_format == "console" or (settings.log_format == "auto" and stream.isatty())
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_trace,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(console, stream)],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name, least in _NOISY.items():
        logging.getLogger(name).setLevel(max(level, least))
    logging.captureWarnings(capture=True)


def _rendering(console: bool, stream: TextIO) -> Sequence[structlog.typing.Processor]:
    if console:
        return (
            structlog.processors.format_exc_info,
            scrub_secrets,
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback),
        )
    return (
        structlog.processors.format_exc_info,
        scrub_secrets,
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(default=str, sort_keys=False),
    )


def add_trace(_logger: object, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the ids of the current trace and span."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        entry["trace_id"] = f"{context.trace_id:032x}"
        entry["span_id"] = f"{context.span_id:016x}"
    return entry


def scrub_secrets(_logger: object, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide secrets in names, values and texts, at any depth; the last processor before rendering."""
    for key, value in entry.items():
        entry[key] = HIDDEN if is_secret(key) and value else _scrubbed(value, _MAX_DEPTH)
    return entry


def _scrubbed(value: object, depth: int) -> object:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return scrub(value)
        case SecretStr():
            return HIDDEN
        case Mapping() if depth:
            return {
                str(key): HIDDEN if is_secret(str(key)) and entry else _scrubbed(entry, depth - 1)
                for key, entry in value.items()
            }
        case list() | tuple() | set() | frozenset() if depth:
            return [_scrubbed(entry, depth - 1) for entry in value]
        case _:
            return scrub(str(value))
