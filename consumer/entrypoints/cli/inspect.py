"""Commands that look and change nothing: `status`, `plan`, `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from consumer.bootstrap import Application
from consumer.entrypoints.cli.audit import audit_streams
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, StreamArgument, complete_stream
from consumer.entrypoints.cli.output import ExitCode, Format, emit
from consumer.entrypoints.cli.plan_view import plan_data, plan_text
from consumer.entrypoints.cli.status_view import status_data, status_text
from consumer.entrypoints.cli.streams import find_stream
from consumer.entrypoints.cli.verify_view import verify_data, verify_text
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


def verify(
    streams: Annotated[
        list[str] | None,
        typer.Argument(help="Streams to verify; all if none is named.", autocompletion=complete_stream),
    ] = None,
    *,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Make every check: tiers, windows, record, evidence, files, orphans, findings."),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="With --all, also write the audit as an HTML page to FILE."),
    ] = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Compare hot and cold tier by count and full-row digest; exit code 1 if they differ.

    With --all this is an audit: every check is made on every stream, none stops another, progress goes to standard
    error, and exit code 1 says that one failed or could not be made. Nothing is changed or deleted.
    """
    if report is not None and not everything:
        raise typer.BadParameter("it needs --all", param_hint="--report")
    with Application(load(config)) as application:
        chosen = [find_stream(application, name) for name in streams or application.streams]
        if everything:
            clean = audit_streams(application, chosen, page=report, output=output)
        else:
            found = [application.verifier.verify(one) for one in chosen]
            emit(output, text=verify_text(found), data=verify_data(found))
            clean = all(one.equal for one in found)
    if not clean:
        raise typer.Exit(ExitCode.FINDING)
