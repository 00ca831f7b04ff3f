"""A consumer that has offloaded one batch and woken a dependant, with every span that was exported meanwhile."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from consumer.adapters.kafka.producer import KafkaEventSink
from consumer.adapters.telemetry.tracing import Tracing
from consumer.bootstrap import Application
from consumer.demo.group import Group
from consumer.domain.batch import BatchStatus
from consumer.domain.event import Event
from consumer.domain.event_factory import tick
from consumer.embedded.stack import EmbeddedStack
from consumer.ports import BatchRecord
from consumer.settings.connections import TelemetrySettings
from tests.support.otlp import Collector, receiving
from tests.support.planted_secrets import planted
from tests.support.platform import Platform, day
from tests.support.processes import icehaul
from tests.support.waiting import wait_for, wait_until

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
TRACE_URL = "https://traces.example.net/trace/{trace_id}"
ROWS = 30
UNITS = 3


@dataclass(frozen=True, kw_only=True)
class Traced:
    """What is left of it.

    Attributes:
        ticks: the events that were sent, in this order; the first is handled on behalf of all.
        batch: the batch of the first stream.
        metrics: what the consumer's /metrics said in the OpenMetrics format.
        secret: a header's value that the collector was sent.
    """

    platform: Platform
    collector: Collector
    trace_file: Path
    application: Application
    ticks: Sequence[Event]
    batch: BatchRecord
    woken: BatchRecord
    metrics: str
    secret: str
    log: str


@contextmanager
def traced_offload(stack: EmbeddedStack, name: str, directory: Path) -> Iterator[Traced]:
    """Offload two streams, of which one depends on the other, with traces to a collector and to a file."""
    with ExitStack() as ending, pytest.MonkeyPatch.context() as patch:
        collector = ending.enter_context(receiving())
        platform = Platform(stack.endpoints, name, directory)
        ending.callback(platform.close)
        for variable, value in platform.environment().items():
            patch.setenv(variable, value)
        trace_file, secret = directory / "traces.jsonl", planted()
        trades = platform.add_stream(batch={"unit_rows": ROWS // UNITS})
        bars = platform.add_stream("bars", upstreams=[trades])
        for table in ("trades", "bars"):
            platform.insert(ROWS, table=table)
        platform.sections["telemetry"] = {
            "otlp_endpoint": collector.url,
            "otlp_headers": {"Authorization": f"Bearer {secret}"},
            "trace_file": str(trace_file),
            "trace_url": TRACE_URL,
            "resource": {"deployment.environment.name": "desk-7"},
        }
        application = ending.enter_context(Application(platform.configuration(), environment={}))
        application.migrate()
        application.topics.ensure()
        ticks = [tick(stream=trades, boundary=day(f"2024-01-0{number}")) for number in (3, 2)]
        send(application, collector, trace_file, ticks)
        log, config = directory / "run.log", str(platform.write())
        with icehaul("run", "-c", config, log=log, environment=platform.environment()) as consumer:
            batch, woken = (
                wait_for(lambda stream=stream: published(application, stream), 90, f"a batch of {stream}")  # type: ignore[misc]
                for stream in (trades, bars)
            )
            # The relay may send an event twice: so many at least.
            wait_until(lambda: acknowledged(application) >= len(ticks) + 1, seconds=90, what="all offsets")
            metrics = scraped(consumer.http_port())
            assert consumer.terminate() == 0
        yield Traced(
            platform=platform,
            collector=collector,
            trace_file=trace_file,
            application=application,
            ticks=ticks,
            batch=batch,
            woken=woken,
            metrics=metrics,
            secret=secret,
            log=log.read_text(encoding="utf-8", errors="replace"),
        )


def scraped(port: int) -> str:
    """What /metrics says to a scraper that asks for OpenMetrics."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/metrics", headers={"Accept": OPEN_METRICS})
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def send(application: Application, collector: Collector, trace_file: Path, events: Sequence[Event]) -> None:
    """Send events as an emitter does that exports its spans."""
    settings = TelemetrySettings(otlp_endpoint=collector.url, trace_file=str(trace_file))
    tracing = Tracing(settings, role="emitter")
    sink = KafkaEventSink(application.configuration.kafka, tracer=tracing.tracer)
    try:
        sink.send(events)
    finally:
        sink.close()
        tracing.shutdown()


def published(application: Application, stream: str) -> BatchRecord | None:
    """The stream's published batch, if there is one."""
    done = [one for one in application.ledger.batches(stream, 10) if one.status is BatchStatus.PUBLISHED]
    return done[0] if done else None


def acknowledged(application: Application) -> int:
    """How many events the group has acknowledged."""
    kafka = application.configuration.kafka
    group = Group(bootstrap_servers=kafka.bootstrap_servers, group=kafka.group, topic=kafka.topic)
    try:
        return group.events() - group.behind()
    finally:
        group.close()
