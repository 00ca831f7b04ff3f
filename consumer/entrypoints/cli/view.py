"""`icehaul view`: one view over both tiers, whose boundary is the watermark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError
from consumer.domain.phrasing import counted
from consumer.domain.stream import Stream, TableName, check_identifier
from consumer.entrypoints.cli.follow import follow
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, complete_stream
from consumer.entrypoints.cli.output import Format, emit, instant
from consumer.entrypoints.cli.streams import find_stream
from consumer.service.view import MadeView, Views
from consumer.settings.load import load

_SUFFIX = "_both_tiers"


def view(
    streams: Annotated[
        list[str],
        typer.Argument(help="Streams to make a view of.", metavar="STREAM", autocompletion=complete_stream),
    ],
    *,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the view, of one stream.", metavar="DB.VIEW", show_default="the source's + _both_tiers"
        ),
    ] = None,
    following: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Go on until SIGTERM or SIGINT: replace it whenever a batch is published."),
    ] = False,
    interval: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds between two looks of --follow.")] = 1,
    drop: Annotated[bool, typer.Option("--drop", help="Drop the streams' views, or the one of --name.")] = False,
    named_collection: Annotated[
        str,
        typer.Option(
            help="Named collection in ClickHouse with the store's keys; made if there is none. inline: the keys stand"
            " in the view.",
            metavar="NAME|inline",
        ),
    ] = "icehaul_store",
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Make a ClickHouse view of a stream's rows: from the watermark on from the source, below it from Iceberg.

    Boundary and snapshot are written into the view, and replaced by one statement. Run it again after each publish,
    or let --follow do so.
    """
    wanted = _parse(name, streams)
    if drop and following:
        raise ConfigurationError("--drop and --follow are given", remedy="give one of the two")
    _check_collection(named_collection)
    with Application(load(config)) as application:
        chosen = [find_stream(application, one) for one in dict.fromkeys(streams)]
        views = application.views(named_collection)
        if drop:
            _drop(views, chosen, wanted, output)
            return
        named = {stream.name: wanted or _default(stream) for stream in chosen}
        if following:
            application.observe("view")
            follow(views, chosen, named, interval)
            return
        made = [views.make(stream, named[stream.name]) for stream in chosen]
    emit(output, text="\n".join(map(_sentence, made)), data={"views": [_data(one) for one in made]})


def _parse(name: str | None, streams: Sequence[str]) -> TableName | None:
    if name is None:
        return None
    if len(set(streams)) > 1:
        raise ConfigurationError("--name is given for several streams", remedy="name one stream, or leave --name out")
    try:
        return TableName.parse(name)
    except ValueError as error:
        raise ConfigurationError(f"--name: {error}", remedy="write it as database.view") from error


def _check_collection(name: str) -> None:
    try:
        check_identifier("--named-collection", name)
    except ValueError as error:
        raise ConfigurationError(str(error), remedy="name a named collection, or: inline") from error


def _default(stream: Stream) -> TableName:
    return TableName(database=stream.source.database, table=f"{stream.source.table[: 127 - len(_SUFFIX)]}{_SUFFIX}")


def _drop(views: Views, streams: Sequence[Stream], name: TableName | None, output: Format) -> None:
    dropped = [one for stream in streams for one in views.drop(stream, name)]
    emit(
        output,
        text=f"dropped {counted(len(dropped), 'view')}" + "".join(f"\n{one}" for one in dropped),
        data={"dropped": [str(one) for one in dropped]},
    )


def _sentence(made: MadeView) -> str:
    mark = made.mark
    below = "nothing below it" if mark.snapshot_id is None else f"snapshot {mark.snapshot_id} below it"
    lasts = (
        ""
        if mark.snapshot_id is None
        else f"; it lasts for {counted(made.publishes, 'further publish', 'further publishes')}"
    )
    state = "replaced" if made.replaced else "is up to date"
    return f"{made.name} {state}: hot rows from {instant(mark.boundary)} on, {below}{lasts}"


def _data(made: MadeView) -> dict[str, Any]:
    return {
        "name": str(made.name),
        "stream": made.mark.stream,
        "boundary": made.mark.boundary,
        "snapshot_id": made.mark.snapshot_id,
        "metadata": made.mark.metadata,
        "replaced": made.replaced,
        "lasts_publishes": None if made.mark.snapshot_id is None else made.publishes,
    }
