"""`icehaul maintain`: put small files together, and whatever else keeps target tables fast and small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from consumer.bootstrap import Application
from consumer.domain.errors import RetriesExhaustedError
from consumer.domain.maintenance import TaskName
from consumer.domain.stream import Stream
from consumer.entrypoints.cli.lease_held import told_when_held
from consumer.entrypoints.cli.maintain_view import Maintained, maintained_data, maintained_text
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, complete_stream
from consumer.entrypoints.cli.output import Format, emit
from consumer.entrypoints.cli.streams import find_stream
from consumer.settings.load import load


def maintain(
    streams: Annotated[
        list[str] | None,
        typer.Argument(help="Streams whose targets are maintained.", metavar="STREAM", autocompletion=complete_stream),
    ] = None,
    *,
    only: Annotated[
        list[TaskName] | None,
        typer.Option("--only", help="This task alone; may be given more than once.", case_sensitive=False),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be done: files, bytes, and what is gained.")
    ] = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Maintain the target tables of streams, all of them unless some are named.

    Rows are never changed: what is written anew is compared with what it stands for before it is published, and every
    snapshot that is kept can be read as before. Consumers do the same by themselves where `maintenance.enabled` is set.
    Exit code 3 if a server can't be used or a consumer works on a stream, 4 if an operator has to act.
    """
    with Application(load(config)) as application:
        chosen = [find_stream(application, name) for name in streams or application.streams]
        tasks = only or list(TaskName)
        if dry_run:
            found = [_reviewed(application, stream, tasks) for stream in chosen]
        else:
            tracing = application.observe("maintain")
            asked = {"only": " ".join(only) if only else None}
            acting = application.actions.acting("maintain", *(stream.name for stream in chosen), arguments=asked)
            with tracing.tracer.start_as_current_span("offload.maintain"), acting:
                found = [_maintained(application, stream, tasks) for stream in chosen]
    emit(output, text=maintained_text(found, dry=dry_run), data=maintained_data(found, dry=dry_run))


def _reviewed(application: Application, stream: Stream, tasks: Sequence[TaskName]) -> Maintained:
    plans = application.maintenance.review(stream, tasks)
    return Maintained(stream=stream, plans=plans)


def _maintained(application: Application, stream: Stream, tasks: Sequence[TaskName]) -> Maintained:
    try:
        with told_when_held():
            plans = application.maintenance.maintain(stream, tasks)
    except RetriesExhaustedError as error:
        raise RetriesExhaustedError(error.message, remedy="mend the cause, and run the command again") from error
    return Maintained(stream=stream, plans=plans)
