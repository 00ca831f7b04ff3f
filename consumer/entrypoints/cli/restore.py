"""`icehaul restore`: bring rows of the cold tier back into a ClickHouse table, the same rows and types."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError
from consumer.domain.restore import RestoreChoice
from consumer.domain.stream import TableName
from consumer.domain.window import EVER, Window
from consumer.entrypoints.cli.arguments import parse_instant
from consumer.entrypoints.cli.lease_held import told_when_held
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, StreamArgument
from consumer.entrypoints.cli.output import Format, emit
from consumer.entrypoints.cli.restore_view import restore_data, restore_text
from consumer.entrypoints.cli.streams import find_stream
from consumer.service.restoring.restores import Restored
from consumer.settings.load import load

_HELD = "run the same command again once the consumer has finished its batch: what is restored so far is taken up"


def restore(
    *,
    stream: StreamArgument,
    into: Annotated[
        str, typer.Option("--into", help="Table of ClickHouse that the rows go to.", metavar="DATABASE.TABLE")
    ],
    window: Annotated[
        str | None,
        typer.Option(
            "--window",
            help="Rows of this stretch of time: both bounds in one, as an ISO 8601 interval.",
            metavar="FROM/TO",
            show_default="all rows",
        ),
    ] = None,
    lower: Annotated[
        str | None,
        typer.Option("--from", help="Rows from this instant on: ISO 8601 (UTC without an offset).", metavar="TIME"),
    ] = None,
    upper: Annotated[
        str | None, typer.Option("--to", help="Rows before this instant (exclusive).", metavar="TIME")
    ] = None,
    snapshot: Annotated[
        int | None,
        typer.Option(help="Id of a snapshot to restore.", metavar="ID", show_default="the current one"),
    ] = None,
    tag: Annotated[
        str | None, typer.Option(help="Tag of a snapshot to restore, as `icehaul cut` gives it.", metavar="NAME")
    ] = None,
    create: Annotated[bool, typer.Option("--create", help="Make the table if there is none.")] = False,
    ddl: Annotated[
        bool, typer.Option("--ddl", help="Print the statement that would make the table, and do nothing else.")
    ] = False,
    accept_loss: Annotated[
        bool,
        typer.Option("--accept-loss", help="Restore columns, too, of which something was lost on the way to Iceberg."),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it. Without this option it is only shown what would be done.")
    ] = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Restore rows of the cold tier into a ClickHouse table, in the source's types, with the same digest.

    The data files are first compared with what the ledger has recorded of them. ClickHouse reads them into a staging
    table, where the rows are compared with the files; only then they go to their table, each once. A run that ended
    early is finished by running the same command again. Exit code 3 if a server can't be used or a consumer works on
    the stream, 4 if something may not be restored.
    """
    choice = RestoreChoice(
        into=_table(into),
        within=_within(window, lower, upper),
        snapshot=_snapshot(snapshot, tag),
        create=create,
        accept_loss=accept_loss,
    )
    with Application(load(config)) as application:
        chosen = find_stream(application, stream)
        if ddl:
            statement = application.restore_review.definition(chosen, choice)
            emit(output, text=statement, data={"stream": chosen.name, "into": str(choice.into), "ddl": statement})
            return
        if yes:
            asked = {"into": into, "snapshot": snapshot, "tag": tag, "window": window, "lower": lower, "upper": upper}
            with _observed(application), application.actions.acting("restore", chosen.name, arguments=asked):
                found = application.restores.restore(chosen, choice)
        else:
            found = Restored(plan=application.restore_review.review(chosen, choice), removed=())
    emit(output, text=restore_text(found, dry=not yes), data=restore_data(found, dry=not yes))


@contextmanager
def _observed(application: Application) -> Iterator[None]:
    """Trace what is done, and say what a lease that another owner holds means for it."""
    with application.observe("restore").tracer.start_as_current_span("offload.restore"), told_when_held(_HELD):
        yield


def _table(text: str) -> TableName:
    try:
        return TableName.parse(text)
    except ValueError as error:
        raise ConfigurationError(f"--into: {error}", remedy="write it as DATABASE.TABLE") from None


def _snapshot(snapshot: int | None, tag: str | None) -> int | str | None:
    if snapshot is not None and tag is not None:
        raise ConfigurationError("--snapshot is given with --tag", remedy="give one of them")
    return tag if snapshot is None else snapshot


def _within(window: str | None, lower: str | None, upper: str | None) -> Window:
    """Return the stretch that was named; every instant where none was."""
    if window is not None:
        if lower is not None or upper is not None:
            raise ConfigurationError("--window is given with --from or --to", remedy="give one or the other")
        lower, separator, upper = window.partition("/")
        if not separator:
            raise ConfigurationError(
                f"--window: {window!r} has no end", remedy="write both bounds, as in 2024-01-01/2024-02-01"
            )
    first = EVER.lower if lower is None else parse_instant("--from" if window is None else "--window", lower)
    last = EVER.upper if upper is None else parse_instant("--to" if window is None else "--window", upper)
    if first is None or last is None or first >= last:
        raise ConfigurationError(
            f"--from {lower} --to {upper}: that is no stretch of time",
            remedy="give two instants, the earlier first",
        )
    return Window(lower=first, upper=last)
