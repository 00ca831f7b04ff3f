"""A consumer process with a handler that waits for a file; run by ``python -m tests.support.consumer_process``.

Arguments: bootstrap servers, topic, group, directory. It creates ``<stream>.started`` there when the event's
handler starts, which ends once ``<stream>.go`` exists, and ``port`` with the port of its HTTP endpoints.
"""

from __future__ import annotations

import sys
import threading
from datetime import timedelta
from pathlib import Path

from consumer.adapters.kafka.consumer import KafkaEventSource, KafkaMessage
from consumer.adapters.telemetry.logs import configure_logging
from consumer.adapters.telemetry.metrics import PrometheusMetrics
from consumer.adapters.telemetry.tracing import Tracing
from consumer.domain.errors import FencedError
from consumer.domain.event import Event
from consumer.entrypoints.http import HttpEndpoints, Liveness, Startup
from consumer.entrypoints.readiness import Readiness
from consumer.entrypoints.worker import Worker
from consumer.service.runtime.loop import EventLoop
from consumer.service.threads import Signal
from consumer.settings.connections import ConsumerSettings, KafkaSettings, TelemetrySettings
from tests.support.kafka_group import Letters, decode


class Idle:
    """A relay with nothing to relay, and a watch with nothing to look at."""

    def run(self, stop: threading.Event, _interval: timedelta) -> None:
        """Wait for the end."""
        stop.wait()


def main(bootstrap_servers: str, topic: str, group: str, directory: Path) -> int:
    """Run the consumer and return its exit code."""
    configure_logging(TelemetrySettings(log_format="json"))

    def handle(event: Event, abandon: Signal) -> None:
        (directory / f"{event.stream}.started").touch()
        while not (directory / f"{event.stream}.go").exists():
            if abandon.wait(0.02) and not event.stream.startswith("deaf"):
                raise FencedError("abandoned", remedy="none")

    kafka = KafkaSettings(
        bootstrap_servers=bootstrap_servers, topic=topic, dead_letter_topic=f"{topic}.dead", group=group
    )
    consumer = ConsumerSettings(shutdown_deadline_seconds=3, revoke_deadline_seconds=3)
    metrics = PrometheusMetrics()
    tracing = Tracing(TelemetrySettings(trace_file=str(directory / "trace.jsonl")), role="consumer")
    loop = EventLoop[KafkaMessage](
        settings=consumer,
        group=group,
        source=KafkaEventSource(kafka, consumer, metrics),
        decode=decode,
        handler=handle,
        dead_letters=Letters(),
        metrics=metrics,
        tracer=tracing.tracer,
    )
    http = HttpEndpoints(
        host="127.0.0.1",
        port=0,
        render_metrics=metrics.render,
        liveness=Liveness(lambda: loop.silence, limit=60),
        readiness=Readiness({}),
        startup=Startup({"assignment": lambda: loop.started}),
    )
    (directory / "port").write_text(str(http.port))
    second = timedelta(seconds=1)
    worker = Worker(loop=loop, relay=Idle(), relay_interval=second, watches={"idle": (Idle(), second)})
    with http:
        code = worker.run()
    tracing.shutdown()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])))
