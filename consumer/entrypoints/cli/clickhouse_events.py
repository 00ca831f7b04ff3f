"""`icehaul clickhouse-events`: print the statements by which ClickHouse makes events itself."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.adapters.clickhouse.event_objects import OWN_COLLECTION
from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError
from consumer.domain.stream import check_identifier
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, complete_stream
from consumer.entrypoints.cli.output import Format, emit
from consumer.entrypoints.cli.streams import find_stream
from consumer.settings.load import load


def clickhouse_events(
    streams: Annotated[
        list[str] | None,
        typer.Argument(
            help="Streams whose events are made; by default all.",
            metavar="STREAM",
            autocompletion=complete_stream,
        ),
    ] = None,
    *,
    database: Annotated[
        str, typer.Option(help="ClickHouse database that the objects are made in.", metavar="DB")
    ] = "icehaul_events",
    named_collection: Annotated[
        str,
        typer.Option(
            help="Named collection in ClickHouse that says how to reach Kafka; another than the default is not made.",
            metavar="NAME",
        ),
    ] = OWN_COLLECTION,
    drop: Annotated[bool, typer.Option("--drop", help="Print what drops all objects instead.")] = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Print the SQL of tables and views by which ClickHouse itself sends ticks and partition closes to Kafka.

    Run it by clickhouse-client --multiquery, and anew after every change of streams. The events have the ids that
    `icehaul emit` gives them: both may run at the same time. Nothing is changed by this command.
    """
    for option, name in (("--database", database), ("--named-collection", named_collection)):
        try:
            check_identifier(option, name)
        except ValueError as error:
            raise ConfigurationError(str(error), remedy="use a name of that form") from error
    with Application(load(config)) as application:
        chosen = [find_stream(application, one) for one in dict.fromkeys(streams or application.streams)]
        objects = application.event_objects(database, named_collection)
        if not drop and not chosen:
            raise ConfigurationError("streams: none is configured", remedy="add one, such as `icehaul init` writes")
        statements = objects.drop() if drop else objects.create(chosen)
    if output is Format.JSON:
        emit(output, text="", data={"statements": list(statements)})
    else:
        typer.echo("".join(f"{statement};\n\n" for statement in statements), nl=False)
