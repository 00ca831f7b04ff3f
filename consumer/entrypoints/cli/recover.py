"""`icehaul recover`: find tables again that the catalog has lost."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError
from consumer.entrypoints.cli.lease_held import told_when_held
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, complete_stream
from consumer.entrypoints.cli.output import ExitCode, Format, emit
from consumer.entrypoints.cli.recover_view import recovery_data, recovery_text
from consumer.entrypoints.cli.streams import find_stream
from consumer.settings.load import load


def recover(
    *,
    streams: Annotated[
        list[str] | None,
        typer.Argument(help="Names of configured streams.", metavar="STREAM...", autocompletion=complete_stream),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every configured stream.")] = False,
    metadata: Annotated[
        str | None,
        typer.Option(
            "--metadata",
            help="The metadata file to point to (s3://…), of one stream; otherwise the newest.",
            metavar="FILE",
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it. Without this option it is only shown what was found.")
    ] = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Find target tables again on the object store, after Postgres, the catalog, or the store's newest files were lost.

    The newest metadata file of the table is looked for, and the catalog pointed to it, where it has no such table, or
    points to files that are gone. A ledger that knows nothing of the stream then follows the table: watermark,
    generation and windows, as `icehaul repair` does it, which is for a ledger that is not empty. Where two files may
    be the newest, or the newest is not whole, nothing is done, and all are shown. Stop the consumers first. Exit code
    1 if something is to be done (without --yes), or is in doubt; 3 if a server can't be used, 4 if there is no table,
    or another one.
    """
    with Application(load(config)) as application:
        names = list(application.streams) if all_ else list(dict.fromkeys(streams or ()))
        if bool(streams) == all_:
            raise ConfigurationError(
                "STREAM: name one stream or more, or give --all, and not both", remedy="icehaul recover --all"
            )
        if metadata is not None and len(names) != 1:
            raise ConfigurationError(
                f"--metadata: {metadata} is of one table, and {len(names)} streams are named",
                remedy="name the stream that it belongs to",
            )
        chosen = [find_stream(application, name) for name in names]
        if yes:
            application.observe("recover")
            with application.actions.acting("recover", *names, arguments={"metadata": metadata}), told_when_held():
                found = [(stream, application.recoveries.recover(stream, metadata)) for stream in chosen]
        else:
            found = [(stream, application.recoveries.review(stream, metadata)) for stream in chosen]
    emit(
        output,
        text=recovery_text(found, dry=not yes),
        data=[recovery_data(stream, one, dry=not yes) for stream, one in found],
    )
    if any(one.doubt is not None or (one.needed and not yes) for _, one in found):
        raise typer.Exit(ExitCode.FINDING)
