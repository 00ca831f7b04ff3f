"""`icehaul cut`: the snapshots of several streams that belong together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError
from consumer.domain.phrasing import counted
from consumer.domain.stream import Stream
from consumer.entrypoints.cli.arguments import parse_instant
from consumer.entrypoints.cli.cut_view import cut_data, cut_text
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, complete_stream
from consumer.entrypoints.cli.output import ExitCode, Format, emit
from consumer.entrypoints.cli.streams import find_stream
from consumer.settings.load import load


def cut(
    streams: Annotated[
        list[str] | None,
        typer.Argument(help="Streams of the cut; all if none is named.", autocompletion=complete_stream),
    ] = None,
    *,
    at: Annotated[
        str | None,
        typer.Option(
            help="Instant of the cut, in ISO 8601 (UTC without an offset).",
            metavar="TIME",
            show_default="the least of the streams' watermarks",
        ),
    ] = None,
    tag: Annotated[
        str | None,
        typer.Option(
            help="Give the snapshots this Iceberg tag, all or none; tagged ones never expire.", metavar="NAME"
        ),
    ] = None,
    untag: Annotated[
        str | None, typer.Option(help="Remove this tag from the streams' tables, and do nothing else.", metavar="NAME")
    ] = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Show for each stream the snapshot that holds every row below one instant, the same for all.

    Filter by the time column below that instant: a snapshot may hold later rows, too. Exit code 1 if the snapshot
    of a stream has expired; then nothing is tagged.
    """
    if untag is not None and (tag is not None or at is not None):
        raise ConfigurationError("--untag is given with --tag or --at", remedy="give --untag alone")
    instant = None if at is None else parse_instant("--at", at)
    if at is not None and instant is None:
        raise ConfigurationError("--at now: no stream has been read up to now", remedy="leave --at out")
    with Application(load(config)) as application:
        chosen = [find_stream(application, name) for name in dict.fromkeys(streams or application.streams)]
        if untag is not None:
            with application.actions.acting("cut", *(one.name for one in chosen), arguments={"untag": untag}):
                removed = application.cuts.untag(untag, chosen)
            _untagged(untag, removed, output)
            return
        found = application.cuts.find(chosen, instant)
        if tag is not None and found.complete:
            with application.actions.acting("cut", *(one.name for one in chosen), arguments={"tag": tag, "at": at}):
                application.cuts.tag(found, tag)
    emit(output, text=cut_text(found, tag), data=cut_data(found, tag))
    if not found.complete:
        raise typer.Exit(ExitCode.FINDING)


def _untagged(name: str, removed: Sequence[Stream], output: Format) -> None:
    emit(
        output,
        text=f"removed the tag {name} from {counted(len(removed), 'table')}",
        data={"untagged": name, "streams": [stream.name for stream in removed]},
    )
