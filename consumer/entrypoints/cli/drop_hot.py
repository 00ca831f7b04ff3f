"""`icehaul drop-hot`: drop partitions from the hot tier that the cold tier is proved to hold."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError
from consumer.domain.hot_drop import Selection
from consumer.entrypoints.cli.arguments import parse_instant
from consumer.entrypoints.cli.drop_hot_view import drop_data, drop_text
from consumer.entrypoints.cli.lease_held import told_when_held
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, StreamArgument
from consumer.entrypoints.cli.output import ExitCode, Format, emit
from consumer.entrypoints.cli.streams import find_stream
from consumer.settings.load import load


def drop_hot(
    *,
    stream: StreamArgument,
    partition: Annotated[
        list[str] | None,
        typer.Option(help="Id of a partition of the source, as in system.parts; repeatable.", metavar="ID"),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option(
            help="All partitions whose rows lie before this instant: ISO 8601 (UTC without an offset).",
            metavar="TIME",
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it. Without this option it is only shown what would be done.")
    ] = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Drop partitions below the watermark from the hot tier, once the cold tier is proved to hold all of their rows.

    Each partition is moved into a quarantine table and compared there with the data files, row by row by their
    digests. If nothing is missing it is dropped, otherwise moved back. A run that ended early is finished by running
    the same command again. Exit code 1 if rows are missing in the cold tier, 3 if a server can't be used or a consumer
    works on the stream, 4 if something may not be dropped.
    """
    selection = _selection(partition or [], before)
    with Application(load(config)) as application:
        chosen = find_stream(application, stream)
        if not yes:
            report = application.drop_review.review(chosen, selection)
        else:
            asked = {"partitions": ", ".join(selection.partitions) or None, "before": selection.before}
            with application.actions.acting("drop-hot", chosen.name, arguments=asked), told_when_held():
                report = application.hot_drops.drop(chosen, selection)
    emit(output, text=drop_text(report), data=drop_data(report))
    if not report.good:
        raise typer.Exit(ExitCode.FINDING)


def _selection(partitions: list[str], before: str | None) -> Selection:
    if bool(partitions) == (before is not None):
        raise ConfigurationError(
            "--partition and --before: exactly one of them says what to drop",
            remedy="name partitions with --partition ID, or an instant with --before TIME",
        )
    if before is None:
        return Selection(partitions=tuple(partitions))
    instant = parse_instant("--before", before)
    if instant is None:
        raise ConfigurationError(
            "--before: 'now' is no instant to drop up to", remedy="name an instant at or before the watermark"
        )
    return Selection(before=instant)
