"""`icehaul repair`: make a stream's ledger follow its target table."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.bootstrap import Application
from consumer.entrypoints.cli.lease_held import told_when_held
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, StreamArgument
from consumer.entrypoints.cli.output import ExitCode, Format, emit
from consumer.entrypoints.cli.repair_view import repair_data, repair_text
from consumer.entrypoints.cli.streams import find_stream
from consumer.settings.load import load


def repair(
    *,
    stream: StreamArgument,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it. Without this option it is only shown what differs.")
    ] = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Make the ledger follow the target table, after either of them was changed behind icehaul's back.

    For a table that was rolled back, dropped, recreated or restored, and for a ledger that was edited or restored.
    The table's snapshots tell which batches it holds, and its rows are counted window by window; the watermark goes
    to where the table's windows end, and what is missing above it is written again with the next event. No file is
    touched, no row removed. Exit code 1 if something differs (without --yes), or if rows can't be written again (with
    it); 3 if a server can't be used or a consumer works on the stream, 4 if the table holds rows that nothing explains.
    """
    with Application(load(config)) as application:
        chosen = find_stream(application, stream)
        if yes:
            application.observe("repair")
            with application.actions.acting("repair", chosen.name), told_when_held():
                found = application.repairs.repair(chosen)
        else:
            found = application.repairs.review(chosen)
    emit(output, text=repair_text(chosen, found, dry=not yes), data=repair_data(chosen, found, dry=not yes))
    if found.lost or (found.needed and not yes):
        raise typer.Exit(ExitCode.FINDING)
