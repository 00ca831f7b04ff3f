"""`icehaul emit`: send ticks and partition closes."""

from __future__ import annotations

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
from consumer.entrypoints.cli import output as results
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, complete_stream
from consumer.entrypoints.cli.output import ExitCode, Format
from consumer.entrypoints.cli.ticks import send_ticks
from consumer.entrypoints.http import HttpEndpoints, Liveness, Startup
from consumer.entrypoints.readiness import Readiness
from consumer.settings.load import load

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SILENCE_SECONDS = 300.0
"""How long a step of the emitter may take before the process counts as stuck."""

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
    if a stream is halted or late.
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
    with Application(load(config)) as application:
        application.observe("emitter")
        if not once:
            with _served(application):
                _run(application.emitter)
            return
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


def _served(application: Application) -> AbstractContextManager[object]:
    """Serve metrics and health where the configuration names a port."""
    settings, emitter = application.configuration.emitter, application.emitter
    if settings.http_port is None:
        return nullcontext()
    application.measure("emitter")
    # A round looks at every source table, and each may take until its time-out.
    limit = _SILENCE_SECONDS + settings.poll.total_seconds()
    return HttpEndpoints(
        host=settings.http_host,
        port=settings.http_port,
        render_metrics=application.metrics.render,
        liveness=Liveness(lambda: emitter.silence, limit),
        readiness=Readiness(application.emitter_probes()),
        startup=Startup({"lease": lambda: emitter.settled}),
        section="emitter",
    )


def _run(emitter: Emitter) -> None:
    """Run the emitter until a signal: the first lets the step under way finish, a second ends the process."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            emitter.run(stop)
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            failures.append(error)

    # Not in the main thread: a signal's handler must not set an event on which the same thread waits.
    thread = threading.Thread(target=work, name="icehaul-emitter", daemon=True)
    with _stopped_by_signal(stop):
        thread.start()
        while thread.is_alive():
            thread.join(0.5)
    if failures:
        raise failures[0]
    _log.info("emitter.stopped")


@contextmanager
def _stopped_by_signal(stop: threading.Event) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def on_signal(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in _SIGNALS:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
