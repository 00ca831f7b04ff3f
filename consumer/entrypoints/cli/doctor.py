"""`icehaul doctor`: check everything that icehaul depends on."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError
from consumer.entrypoints.checkup import check_up, check_without_configuration
from consumer.entrypoints.cli.doctor_view import doctor_data, doctor_text
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, complete_stream
from consumer.entrypoints.cli.output import ExitCode, Format, emit, messages
from consumer.entrypoints.cli.streams import find_stream
from consumer.service.doctor.finding import Finding, Severity
from consumer.settings.load import load


def doctor(
    streams: Annotated[
        list[str] | None,
        typer.Argument(
            help="Streams whose tables are checked; all if none is named.",
            metavar="[STREAM]...",
            autocompletion=complete_stream,
        ),
    ] = None,
    spark: Annotated[
        bool, typer.Option("--spark/--no-spark", help="Start a Spark session too, which takes some seconds.")
    ] = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Check configuration, servers, topics, tables and this machine; every finding with its remedy.

    Looks and changes nothing, but for one small file under the warehouse and a member of a consumer group of its
    own, both removed at once. Exit code 1 if there is an error; warnings are allowed.
    """
    with messages().status("checking"):
        found = _findings(streams or [], spark=spark, config=config)
    emit(output, text=doctor_text(found), data=doctor_data(found))
    if any(one.severity is Severity.ERROR for one in found):
        raise typer.Exit(ExitCode.FINDING)


def _findings(names: list[str], *, spark: bool, config: ConfigOption) -> list[Finding]:
    try:
        configuration = load(config)
    except ConfigurationError as error:
        return check_without_configuration(error, config)
    with Application(configuration) as application:
        chosen = [find_stream(application, name) for name in names or application.streams]
        return check_up(application, chosen, file=config, spark=spark)
