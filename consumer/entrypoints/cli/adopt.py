"""`icehaul adopt`: go on with an Iceberg table that another tool has filled, once it is proved what it holds."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.bootstrap import Application
from consumer.entrypoints.cli.adopt_view import adopted_data, adopted_text
from consumer.entrypoints.cli.lease_held import told_when_held
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, StreamArgument
from consumer.entrypoints.cli.output import ExitCode, Format, emit
from consumer.entrypoints.cli.streams import find_stream
from consumer.settings.load import load


def adopt(
    *,
    stream: StreamArgument,
    leave_missing: Annotated[
        bool,
        typer.Option(
            "--leave-missing", help="Adopt a table that lacks rows, too: the stream's next event adds them, each once."
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it. Without this option it is only shown what would be done.")
    ] = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Adopt the stream's existing target, which another tool has filled, and go on from where that tool stopped.

    The watermark is found by comparing both tiers, day by day and by a digest over every column. With --yes the windows
    that are proved are recorded in the ledger, and a snapshot without rows carries the evidence in the table, all in
    one transaction. Exit code 1 if both tiers differ, 3 if a server can't be used or a consumer works on the stream,
    4 if the table may not be adopted.
    """
    with Application(load(config)) as application:
        chosen = find_stream(application, stream)
        if not yes:
            found = application.adoptions.review(chosen)
        else:
            acting = application.actions.acting("adopt", chosen.name, arguments={"leave_missing": leave_missing})
            with acting, told_when_held():
                found = application.adoptions.adopt(chosen, leave_missing=leave_missing)
    emit(output, text=adopted_text(found), data=adopted_data(found))
    if found.dry and (found.proof.surplus or (found.proof.missing and not leave_missing)):
        raise typer.Exit(ExitCode.FINDING)
