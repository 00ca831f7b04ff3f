"""Commands that change a stream's state on an operator's word."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError
from consumer.domain.phrasing import counted
from consumer.domain.stream import Stream
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, StreamArgument
from consumer.entrypoints.cli.output import Format, emit
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
        accepted = application.ledger.accept(stream) if accept_findings else 0
        parked = len(application.ledger.parked(stream))
        application.ledger.resume(stream)
    noted = f"; {counted(accepted, 'finding')} accepted" if accept_findings else ""
    emit(
        output,
        text=f"{stream} is active again; {counted(parked, 'parked event')} will be relayed to the topic by a running"
        f" consumer{noted}",
        data={
            "stream": stream,
            "state": "active",
            "parked_events_taken_up": parked,
            "findings_accepted": accepted,
        },
    )


def find_stream(application: Application, name: str) -> Stream:
    """Return a configured stream.

    Raises:
        ConfigurationError: if there is none of this name.
    """
    found = application.streams.get(name)
    if found is None:
        raise ConfigurationError(
            f"STREAM: there is no stream {name!r} in the configuration",
            remedy=f"name one of: {', '.join(application.streams) or '(none is configured)'}",
        )
    return found
