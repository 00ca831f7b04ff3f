"""`icehaul emit`: send ticks and partition closes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import structlog
import typer

from consumer.bootstrap import Application
from consumer.emitter.emitter import Emitter
from consumer.entrypoints.cli import output as results
from consumer.entrypoints.cli.options import ConfigOption, OutputOption
from consumer.entrypoints.cli.output import ExitCode, Format
from consumer.settings.load import load

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger(__name__)


def emit(
    once: Annotated[bool, typer.Option("--once", help="Send what is due now, and end.")] = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Watch the source tables and the clock, and send events until SIGTERM or SIGINT.

    Of several emitters one is active, and the others stand by. With --once, exit code 1 if a source table could
    not be looked at, and 3 if another emitter is active.
    """
    with Application(load(config)) as application:
        application.observe("emitter")
        if not once:
            _run(application.emitter)
            return
        done = application.emitter.run_once()
    failures = [f"{stream}: {why}" for stream, why in done.failed.items()]
    results.emit(
        output,
        text="\n".join([f"sent {done.ticks} tick(s) and {done.closes} partition close(s)", *failures]),
        data={"ticks": done.ticks, "closes": done.closes, "failed": dict(done.failed)},
    )
    if done.failed:
        raise typer.Exit(ExitCode.FINDING)


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
