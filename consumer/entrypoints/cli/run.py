"""`icehaul run`: one consumer process."""

from __future__ import annotations

from datetime import timedelta

import structlog
import typer

from consumer.bootstrap import Application
from consumer.domain.errors import BrokerUnavailableError
from consumer.entrypoints.cli.options import ConfigOption
from consumer.entrypoints.http import HttpEndpoints, Liveness, Startup
from consumer.entrypoints.readiness import Readiness
from consumer.entrypoints.worker import Worker
from consumer.settings.load import load

_SILENCE_SECONDS = 30.0
"""How long the poll loop may be silent before the process counts as stuck."""

_log = structlog.get_logger(__name__)


def run(config: ConfigOption = None) -> None:
    """Consume events and offload what they hint at, until SIGTERM or SIGINT."""
    with Application(load(config)) as application:
        tracing = application.observe("consumer")
        application.measure("consumer")
        settings = application.configuration.consumer
        loop = application.loop(tracing)

        def check_poll_loop() -> None:
            if not loop.started:
                raise BrokerUnavailableError("no assignment from the group yet", remedy="nothing to do at first")
            if loop.silence > _SILENCE_SECONDS:
                raise BrokerUnavailableError(
                    f"the poll loop turned last {loop.silence:.0f} s ago", remedy="restart the process if it stays so"
                )

        http = HttpEndpoints(
            host=settings.http_host,
            port=settings.http_port,
            render_metrics=application.metrics.render,
            # While Spark starts, the loop does not turn yet: that is for /startupz to tell.
            liveness=Liveness(lambda: loop.silence if loop.started else 0.0, _SILENCE_SECONDS),
            readiness=Readiness({**application.probes(), "poll_loop": check_poll_loop}),
            startup=Startup({"engine": lambda: application.engine.ready, "assignment": lambda: loop.started}),
        )
        with http:
            # Warm before the group hands out partitions: the first event need not wait, and a machine without Java
            # fails here, where somebody is looking.
            application.engine.start()
            _log.info("consumer.warm", port=http.port)
            worker = Worker(
                loop=loop,
                relay=application.relay,
                relay_interval=timedelta(seconds=settings.relay_interval_seconds),
                watches={
                    "loss": (application.loss_watch, timedelta(seconds=settings.loss_watch_seconds)),
                    "table": (application.table_watch, timedelta(seconds=settings.table_watch_seconds)),
                },
                audits=application.background_audit,
            )
            code = worker.run()
    raise typer.Exit(code)
