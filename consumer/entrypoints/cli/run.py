"""`icehaul run`: one consumer process."""

from __future__ import annotations

import os
from datetime import timedelta

import structlog
import typer

from consumer.bootstrap import Application
from consumer.entrypoints.allocator import give_memory_back
from consumer.entrypoints.cli.options import ConfigOption
from consumer.entrypoints.console.assembly import console
from consumer.entrypoints.http import HttpEndpoints, Liveness, Startup
from consumer.entrypoints.ledger_check import check_ledger
from consumer.entrypoints.poll_loop import SILENCE_SECONDS, check_poll_loop, silence_of
from consumer.entrypoints.readiness import Readiness
from consumer.entrypoints.reload import Reload
from consumer.entrypoints.service_manager import ServiceManager
from consumer.entrypoints.worker import Worker
from consumer.settings.load import load
from consumer.settings.model import Configuration

_LEDGER_EVERY = timedelta(hours=1)
"""Between two looks at what the ledger needs no more."""

_log = structlog.get_logger(__name__)


def run(config: ConfigOption = None) -> None:
    """Consume events and offload what they hint at, until SIGTERM or SIGINT.

    SIGHUP lets running work finish and begins anew with the configuration as it stands then, if that can be used.
    """
    give_memory_back()
    reload = Reload(lambda: load(config))
    with reload.heard():
        code = _consume(load(config), reload)
        reload.carry_out()
    raise typer.Exit(code)


def _consume(configuration: Configuration, reload: Reload) -> int:
    with Application(configuration) as application:
        tracing = application.observe("consumer")
        application.measure("consumer")
        settings = application.configuration.consumer
        check_ledger(application)
        loop = application.loop(tracing)
        worker = Worker(
            loop=loop,
            relay=application.relay,
            relay_interval=timedelta(seconds=settings.relay_interval_seconds),
            watches={
                "loss": (application.loss_watch, timedelta(seconds=settings.loss_watch_seconds)),
                "ledger": (application.ledger_watch, _LEDGER_EVERY),
                "table": (application.table_watch, timedelta(seconds=settings.table_watch_seconds)),
            },
            audits=application.background_audit,
            reload=reload,
        )
        liveness = Liveness(lambda: silence_of(loop), SILENCE_SECONDS)
        startup = Startup({"engine": lambda: application.engine.ready, "assignment": lambda: loop.started})
        http = HttpEndpoints(
            host=settings.http_host,
            port=settings.http_port,
            render_metrics=application.metrics.render,
            liveness=liveness,
            readiness=Readiness({**application.probes(), "poll_loop": lambda: check_poll_loop(loop)}),
            startup=startup,
            console=console(application) if settings.console else None,
        )
        manager = ServiceManager(
            os.environ,
            started=lambda: not startup.missing(),
            alive=lambda: liveness.alive,
            phase=lambda: worker.phase,
            shutdown_seconds=settings.shutdown_deadline_seconds,
        )
        with http, manager:
            # Warm before the group hands out partitions: the first event need not wait, and a machine without Java
            # fails here, where somebody is looking.
            application.engine.start()
            _log.info("consumer.warm", port=http.port)
            return worker.run()
