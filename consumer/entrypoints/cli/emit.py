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
            with _until_signalled() as stop:
                application.emitter.run(stop)
            _log.info("emitter.stopped")
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


@contextmanager
def _until_signalled() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set; the step under way is finished."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
