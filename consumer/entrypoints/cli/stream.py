"""`icehaul stream`: rename, remove and move streams, and see which ones the ledger knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError
from consumer.domain.phrasing import counted
from consumer.domain.stream import TableName
from consumer.entrypoints.cli.lease_held import told_when_held
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, StreamArgument, complete_stream
from consumer.entrypoints.cli.output import Format, emit, instant
from consumer.entrypoints.cli.records import Column, Records
from consumer.service.registry.changes import Change
from consumer.service.registry.ports import KnownStream
from consumer.settings.load import load

app = typer.Typer(help="Rename, remove and move streams.", no_args_is_help=True)

YesOption = Annotated[
    bool, typer.Option("--yes", help="Do it. Without this option it is only shown what would be changed.")
]
OldArgument = Annotated[
    str, typer.Argument(help="Name of the stream in the ledger.", metavar="OLD", autocompletion=complete_stream)
]


@app.command()
def rename(
    old: OldArgument,
    new: Annotated[str, typer.Argument(help="Its new name.", metavar="NEW")],
    *,
    yes: YesOption = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Give a stream another name; its batch ids, history, table and watermark stay.

    Stop consumers and emitters first, and change the configuration as the command says. Exit code 3 if somebody works
    on the stream.
    """
    with (
        Application(load(config)) as application,
        _recorded(application, "rename", old, done=yes, arguments={"new": new}),
    ):
        change = _given(lambda: application.stream_changes.rename(old, new, dry=not yes))
    _report(change, output)


@app.command()
def remove(
    stream: StreamArgument,
    *,
    purge: Annotated[
        bool, typer.Option("--purge", help="Delete the ledger's rows instead of keeping them for an audit.")
    ] = False,
    yes: YesOption = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Take a stream out of the ledger; its table and all of its files stay.

    Exit code 3 if somebody works on the stream.
    """
    with (
        Application(load(config)) as application,
        _recorded(application, "remove", stream, done=yes, arguments={"purge": purge}),
    ):
        change = _given(lambda: application.stream_changes.remove(stream, purge=purge, dry=not yes))
    _report(change, output)


@app.command()
def move(
    stream: StreamArgument,
    *,
    to: Annotated[str, typer.Option("--to", help="The table's new name: namespace.table.", metavar="TABLE")],
    yes: YesOption = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Give a stream's table another name in the catalog; its UUID, snapshots and files stay.

    Exit code 3 if somebody works on the stream, 4 if the table is not the one that the ledger knows.
    """
    try:
        target = TableName.parse(to)
    except ValueError as error:
        raise ConfigurationError(f"--to: {error}", remedy="write it as namespace.table") from None
    with (
        Application(load(config)) as application,
        _recorded(application, "move", stream, done=yes, arguments={"to": target}),
    ):
        change = _given(lambda: application.stream_changes.move(stream, target, dry=not yes))
    _report(change, output)


@app.command("list")
def list_(config: ConfigOption = None, output: OutputOption = Format.TEXT) -> None:
    """List the streams of the ledger: those that are not configured, and those that were removed, among them."""
    with Application(load(config)) as application:
        known = application.register.known()
        configured = set(application.streams)
    emit(output, text=_listed(known, configured), data={"streams": [_known_data(one, configured) for one in known]})


def _recorded(
    application: Application, command: str, stream: str, *, done: bool, arguments: Mapping[str, object]
) -> AbstractContextManager[None]:
    """Record what is done; what is only shown leaves no trace."""
    if not done:
        return nullcontext()
    return application.actions.acting(f"stream {command}", stream, arguments=arguments)


def _given(change: Callable[[], Change]) -> Change:
    with told_when_held("stop its consumers, or wait until they have finished, and run the command again"):
        return change()


def _report(change: Change, output: Format) -> None:
    emit(output, text=_text(change), data=_data(change))


def _text(change: Change) -> RenderableType:
    head = "would be changed" if change.dry else "changed"
    rows = ", ".join(f"{number:,} {what}" for what, number in change.counts.items() if number)
    lines = [f"{change.stream}: {head}", *(f"  {line}" for line in change.done)]
    lines.append(f"  the ledger has of it: {rows or 'nothing but its own row'}")
    lines += ["then:", *(f"  {line}" for line in change.follow)]
    if change.dry:
        lines.append("nothing was changed: give --yes to do it")
    return Group(*map(Text, lines))


def _data(change: Change) -> dict[str, Any]:
    return {
        "stream": change.stream,
        "dry_run": change.dry,
        "changes": list(change.done),
        "follow": list(change.follow),
        "ledger_rows": dict(change.counts),
    }


def _listed(known: Sequence[KnownStream], configured: set[str]) -> RenderableType:
    records = Records(
        counted(len(known), "stream"),
        [Column("stream"), Column("in the configuration"), Column("state"), Column("watermark (UTC)"), Column("owner")],
    )
    for one in known:
        records.add(
            one.name,
            _place(one, configured),
            one.state,
            "-" if one.watermark == one.start else instant(one.watermark),
            one.owner or "-",
        )
    return records


def _place(one: KnownStream, configured: set[str]) -> Text:
    if one.removed is not None:
        return Text(f"removed {instant(one.removed.replace(microsecond=0))}", style="dim")
    return Text("yes", style="green") if one.name in configured else Text("no", style="yellow")


def _known_data(one: KnownStream, configured: set[str]) -> dict[str, Any]:
    return {
        "name": one.name,
        "configured": one.name in configured,
        "state": one.state,
        "watermark": None if one.watermark == one.start else one.watermark,
        "owner": one.owner,
        "lease_expires": one.lease_expires,
        "removed": one.removed,
    }
