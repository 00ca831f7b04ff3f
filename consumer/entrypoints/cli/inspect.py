"""Commands that look and change nothing: `status`, `plan`."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.bootstrap import Application
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, StreamArgument, complete_stream
from consumer.entrypoints.cli.output import ExitCode, Format, emit
from consumer.entrypoints.cli.plan_view import plan_data, plan_text
from consumer.entrypoints.cli.status_view import status_data, status_text
from consumer.entrypoints.cli.streams import find_stream
from consumer.entrypoints.cli.watch import Snapshot, watch
from consumer.ports import StreamState
from consumer.settings.load import load


def status(
    stream: Annotated[
        str | None, typer.Argument(help="One stream only, with more of its batches.", autocompletion=complete_stream)
    ] = None,
    *,
    batches: Annotated[int, typer.Option(min=1, max=1000, help="How many of the latest batches to show.")] = 5,
    watching: Annotated[bool, typer.Option("--watch", "-w", help="Show it again and again, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds between two looks of --watch.")] = 2,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Show watermark, lag, state and present work of every stream; exit code 1 if one is halted.

    With --watch, exit code 0; without a terminal, each look is printed below the one before, as JSON one to a line.
    """
    with Application(load(config)) as application:
        chosen = application.streams if stream is None else {stream: find_stream(application, stream)}

        def look() -> Snapshot:
            now, found = application.statuses.read(chosen, batches=batches)
            return status_text(now, found, detailed=stream is not None), status_data(now, found)

        if watching:
            watch(look, interval=interval, as_json=output is Format.JSON)
            return
        now, found = application.statuses.read(chosen, batches=batches)
    emit(output, text=status_text(now, found, detailed=stream is not None), data=status_data(now, found))
    if any(one.record is not None and one.record.state is StreamState.HALTED for one in found):
        raise typer.Exit(ExitCode.FINDING)


def plan(stream: StreamArgument, config: ConfigOption = None, output: OutputOption = Format.TEXT) -> None:
    """Show what the next event of a stream would do, by the run's own planner; writes nothing."""
    with Application(load(config)) as application:
        preview = application.previewer.preview(find_stream(application, stream))
    emit(output, text=plan_text(preview), data=plan_data(preview))
    if preview.obstacle is not None or preview.halted:
        raise typer.Exit(ExitCode.FINDING)
