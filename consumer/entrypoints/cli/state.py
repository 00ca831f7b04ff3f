"""`icehaul pause` and `icehaul resume`: a stream stands still, and goes on, on an operator's word."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.bootstrap import Application
from consumer.domain.phrasing import counted
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, StreamArgument
from consumer.entrypoints.cli.output import ExitCode, Format, emit
from consumer.entrypoints.cli.streams import find_stream
from consumer.service.operator import operator
from consumer.settings.load import load


def resume(
    stream: StreamArgument,
    accept_findings: Annotated[
        bool,
        typer.Option(
            "--accept-findings",
            help="Take note of what `icehaul status` reports of the source: rows that are lost, changed, deleted or"
            " too late. They are left as they are.",
        ),
    ] = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Make a halted stream active again; its parked events are sent to the topic once more."""
    with Application(load(config)) as application:
        find_stream(application, stream)
        application.observe("resume")
        with application.actions.acting("resume", stream, arguments={"accept_findings": accept_findings}):
            resumed = application.states.resume(stream, accept_findings=accept_findings)
    noted = f"; {counted(resumed.accepted, 'finding')} accepted" if accept_findings else ""
    emit(
        output,
        text=f"{stream} is active again; {counted(resumed.parked, 'parked event')} will be relayed to the topic by a"
        f" running consumer{noted}",
        data={
            "stream": stream,
            "state": "active",
            "parked_events_taken_up": resumed.parked,
            "findings_accepted": resumed.accepted,
        },
    )


def pause(
    stream: StreamArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever looks at it later.", metavar="TEXT")] = "",
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Let a stream stand still: once this has returned, nothing of it is published until it is resumed.

    A batch that is under way is abandoned, and done again after `icehaul resume`; events are kept meanwhile. Exit
    code 1 if the stream was halted already: it stays as it is.
    """
    with Application(load(config)) as application:
        chosen = find_stream(application, stream)
        application.observe("pause")
        with application.actions.acting("pause", stream, reason=reason):
            paused, record = application.states.pause(chosen, by=operator(), reason=reason)
    text = f"{stream} stands still; `icehaul resume {stream}` lets it go on"
    if not paused:
        text = f"{stream} is halted already: {record.halt_reason}"
    emit(
        output,
        text=text,
        data={"stream": stream, "state": record.state, "paused": paused, "reason": record.halt_reason},
    )
    if not paused:
        raise typer.Exit(ExitCode.FINDING)
