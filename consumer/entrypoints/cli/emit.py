"""`icehaul emit`: send ticks and partition closes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import Annotated

import structlog
import typer

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError
from consumer.domain.phrasing import counted
from consumer.emitter.emitter import Emitter
from consumer.entrypoints.allocator import give_memory_back
from consumer.entrypoints.cli import output as results
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, complete_stream
from consumer.entrypoints.cli.output import ExitCode, Format
from consumer.entrypoints.cli.ticks import send_ticks
from consumer.entrypoints.http import HttpEndpoints, Liveness, Startup
from consumer.entrypoints.ledger_check import check_ledger
from consumer.entrypoints.readiness import Readiness
from consumer.entrypoints.reload import Reload
from consumer.entrypoints.service_manager import Phase, ServiceManager
from consumer.settings.load import load
from consumer.settings.model import Configuration

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SILENCE_SECONDS = 300.0
"""How long a step of the emitter may take before the process counts as stuck."""
_STEP_SECONDS = 60.0
"""How long an orderly end waits for the step under way at most, as far as a service manager is told."""

_log = structlog.get_logger(__name__)


def emit(
    *,
    once: Annotated[bool, typer.Option("--once", help="Send what is due now, and end.")] = False,
    tick: Annotated[
        str | None,
        typer.Option(
            "--tick",
            help="Send one tick to each --stream (all streams without one), and end; it asks for everything before"
            " this instant: now, or a time in ISO 8601 (UTC without an offset).",
            metavar="now|TIME",
        ),
    ] = None,
    follow: Annotated[
        str | None,
        typer.Option(
            "--follow",
            help="Then wait until what the ticks ask for is committed, but no longer than this, such as 10m; as JSON,"
            " each stream's end is one line.",
            metavar="SPAN",
        ),
    ] = None,
    streams: Annotated[
        list[str] | None,
        typer.Option(
            "--stream", help="Stream that --tick is for; repeatable.", metavar="STREAM", autocompletion=complete_stream
        ),
    ] = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Watch the source tables and the clock, and send events until SIGTERM or SIGINT.

    Of several emitters one is active, and the others stand by. With --once, exit code 1 if a source table could
    not be looked at, and 3 if another emitter is active. With --tick no lease is needed. With --follow, exit code 1
    if a stream is halted or late. SIGHUP lets the step under way finish and begins anew with the configuration as it
    stands then, if that can be used.
    """
    if tick is not None:
        if once:
            raise ConfigurationError("--once and --tick are given", remedy="give one of the two")
        send_ticks(tick, streams or (), load(config), output, follow=follow)
        return
    if follow is not None:
        raise ConfigurationError("--follow is given without --tick", remedy="add: --tick now")
    if streams:
        raise ConfigurationError("--stream is given without --tick", remedy="add: --tick now")
    if not once:
        reload = Reload(lambda: load(config))
        with reload.heard():
            _serve(load(config), reload)
            reload.carry_out()
        return
    with Application(load(config)) as application:
        application.observe("emitter")
        done = application.emitter.run_once()
    failures = [f"{stream}: {why}" for stream, why in done.failed.items()]
    results.emit(
        output,
        text="\n".join(
            [f"sent {counted(done.ticks, 'tick')} and {counted(done.closes, 'partition close')}", *failures]
        ),
        data={"ticks": done.ticks, "closes": done.closes, "failed": dict(done.failed)},
    )
    if done.failed:
        raise typer.Exit(ExitCode.FINDING)


def _serve(configuration: Configuration, reload: Reload) -> None:
    """Run the emitter until a signal ends it, or lets it begin anew."""
    give_memory_back()
    with Application(configuration) as application:
        application.observe("emitter")
        check_ledger(application)
        emitter, settings = application.emitter, application.configuration.emitter
        # A round looks at every source table, and each may take until its time-out.
        liveness = Liveness(lambda: emitter.silence, _SILENCE_SECONDS + settings.poll.total_seconds())
        startup = Startup({"lease": lambda: emitter.settled})
        running = _Run(emitter, reload)
        manager = ServiceManager(
            os.environ,
            started=lambda: not startup.missing(),
            alive=lambda: liveness.alive,
            phase=lambda: running.phase,
            shutdown_seconds=_STEP_SECONDS,
        )
        with _endpoints(application, liveness, startup), manager:
            running.run()


def _endpoints(application: Application, liveness: Liveness, startup: Startup) -> AbstractContextManager[object]:
    """Serve metrics and health where the configuration names a port."""
    settings = application.configuration.emitter
    if settings.http_port is None:
        return nullcontext()
    application.measure("emitter")
    return HttpEndpoints(
        host=settings.http_host,
        port=settings.http_port,
        render_metrics=application.metrics.render,
        liveness=liveness,
        readiness=Readiness(application.emitter_probes()),
        startup=startup,
        section="emitter",
    )


class _Run:
    """One run of the emitter; the first signal lets the step under way finish, a second ends the process."""

    def __init__(self, emitter: Emitter, reload: Reload) -> None:
        self._emitter = emitter
        self._reload = reload
        self._stop = threading.Event()
        self._signalled = False
        self._failures: list[BaseException] = []

    @property
    def phase(self) -> Phase:
        """Where the process is in its life."""
        if self._signalled:
            return Phase.STOPPING
        return Phase.RELOADING if self._reload.accepted else Phase.WORKING

    def run(self) -> None:
        """Run until a signal; belongs into the main thread."""
        # Not in the main thread: a signal's handler must not set an event on which the same thread waits.
        thread = threading.Thread(target=self._work, name="icehaul-emitter", daemon=True)
        with self._handling_signals():
            thread.start()
            while thread.is_alive():
                thread.join(0.5)
                if not self._signalled and self._reload.wanted():
                    self._stop.set()
        if self._failures:
            raise self._failures[0]
        _log.info("emitter.stopped")

    def _work(self) -> None:
        try:
            self._emitter.run(self._stop)
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self._failures.append(error)

    @contextmanager
    def _handling_signals(self) -> Iterator[None]:
        before = {number: signal.getsignal(number) for number in _SIGNALS}

        def on_signal(number: int, _frame: FrameType | None) -> None:
            self._signalled = True
            self._reload.give_up()
            self._stop.set()
            signal.signal(number, before[signal.Signals(number)])

        for number in _SIGNALS:
            signal.signal(number, on_signal)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
