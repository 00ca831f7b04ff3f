"""`icehaul run`: one consumer process."""

from __future__ import annotations

from datetime import timedelta

import typer

from consumer.bootstrap import Application
from consumer.entrypoints.cli.options import ConfigOption
from consumer.entrypoints.console.assembly import console
from consumer.entrypoints.http import HttpEndpoints, Liveness
from consumer.entrypoints.readiness import Readiness
from consumer.entrypoints.worker import Worker
from consumer.settings.load import load

_SILENCE_SECONDS = 30.0
"""How long the poll loop may be silent before the process counts as stuck."""


def run(config: ConfigOption = None) -> None:
    """Consume events and offload what they hint at, until SIGTERM or SIGINT."""
    with Application(load(config)) as application:
        tracing = application.observe("consumer")
        settings = application.configuration.consumer
        # Warm before the group hands out partitions: the first event need not wait, and a machine without Java
        # fails here, where somebody is looking.
        application.engine.start()
        loop = application.loop(tracing)
        http = HttpEndpoints(
            host=settings.http_host,
            port=settings.http_port,
            render_metrics=application.metrics.render,
            liveness=Liveness(lambda: loop.silence, _SILENCE_SECONDS),
            readiness=Readiness(application.probes()),
            console=console(application) if settings.console else None,
        )
        worker = Worker(
            loop=loop,
            relay=application.relay,
            relay_interval=timedelta(seconds=settings.relay_interval_seconds),
            watch=application.loss_watch,
            watch_interval=timedelta(seconds=settings.loss_watch_seconds),
            http=http,
            audits=application.background_audit,
        )
        code = worker.run()
    raise typer.Exit(code)
