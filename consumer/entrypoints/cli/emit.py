"""`icehaul emit`: send ticks and partition closes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import structlog
import typer

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError
from consumer.domain.event_factory import tick as tick_event
from consumer.domain.phrasing import counted
from consumer.emitter.emitter import Emitter
from consumer.entrypoints.cli import output as results
from consumer.entrypoints.cli.arguments import parse_instant
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, complete_stream
from consumer.entrypoints.cli.output import ExitCode, Format
from consumer.entrypoints.cli.repair import find_stream
from consumer.settings.load import load
from consumer.settings.model import Configuration

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger(__name__)


def emit(
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
    not be looked at, and 3 if another emitter is active. With --tick no lease is needed.
    """
    if tick is not None:
        if once:
            raise ConfigurationError("--once and --tick are given", remedy="give one of the two")
        _send_ticks(tick, streams or (), load(config), output)
        return
    if streams:
        raise ConfigurationError("--stream is given without --tick", remedy="add: --tick now")
    with Application(load(config)) as application:
        application.observe("emitter")
        if not once:
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


def _send_ticks(when: str, names: Sequence[str], configuration: Configuration, output: Format) -> None:
    """Send a tick to each of the streams through the emitter's own sink."""
    asked = parse_instant("--tick", when)
    with Application(configuration) as application:
        application.observe("emitter")
        chosen = [find_stream(application, name) for name in dict.fromkeys(names or application.streams)]
        # The source server's clock is the only one that windows follow.
        boundary = application.source.now() if asked is None else asked
        events = [tick_event(stream=stream.name, boundary=boundary) for stream in chosen]
        application.event_sink.send(events)
    results.emit(
        output,
        text="\n".join(f"sent tick {event.id} to stream {event.stream}" for event in events) or "no stream configured",
        data={"cutoff": boundary, "events": [{"id": event.id, "stream": event.stream} for event in events]},
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
