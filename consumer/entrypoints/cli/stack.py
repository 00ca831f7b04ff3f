"""`icehaul stack`: the embedded stack from the command line."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from consumer.embedded.component import ComponentName
from consumer.embedded.control import ComponentStatus, State
from consumer.embedded.errors import StackNotRunningError
from consumer.embedded.layout import Layout
from consumer.embedded.stack import EmbeddedStack, end_supervisor
from consumer.entrypoints.cli.options import OutputOption
from consumer.entrypoints.cli.output import ExitCode, Format, emit, explain, messages
from consumer.entrypoints.cli.records import Column, Records

DirectoryOption = Annotated[
    Path, typer.Option("--dir", "-d", help="The stack's directory: data, logs, ports and secrets.", metavar="DIR")
]
_DEFAULT = Path("var/stack")

app = typer.Typer(
    help="Run ClickHouse, Kafka, Postgres and an S3 store on this machine, without containers.",
    no_args_is_help=True,
)


@app.command()
def up(
    directory: DirectoryOption = _DEFAULT,
    only: Annotated[list[ComponentName] | None, typer.Option(help="Start this component only; repeatable.")] = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Start the stack in the background; it runs until `icehaul stack down`.

    Data, ports and secrets of the directory's last run are used again. Nothing to do if it is up already.
    """
    console = messages()
    try:
        stack = EmbeddedStack.attach(directory)
        console.print(f"already up in {directory}", highlight=False, soft_wrap=True)
    except StackNotRunningError:
        stack = EmbeddedStack.start(
            directory,
            only=only or (),
            detached=True,
            progress=lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True),
        )
    _show(stack, list(stack.status().values()), output)
    console.print(
        f'use it in this shell: eval "$(icehaul stack env --dir {shlex.quote(str(directory))})"',
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def down(directory: DirectoryOption = _DEFAULT) -> None:
    """Stop the stack; its data stays. Nothing to do if it is down already."""
    was_up = end_supervisor(Layout(directory.resolve()))
    outcome = "stopped the stack" if was_up else "no stack is running"
    messages().print(f"{outcome} in {directory}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def status(directory: DirectoryOption = _DEFAULT, output: OutputOption = Format.TEXT) -> None:
    """Do one real operation on each component.

    Exit code 0: all work; 1: one does not; 3: no stack is up.
    """
    stack = _attach(directory)
    found = list(stack.probe().values())
    _show(stack, found, output)
    if any(component.state is not State.READY for component in found):
        raise typer.Exit(ExitCode.FINDING)


@app.command()
def env(directory: DirectoryOption = _DEFAULT, output: OutputOption = Format.TEXT) -> None:
    """Write the stack's addresses and secrets as environment variables, for a shell to evaluate.

    Exit code 3: no stack is up.
    """
    variables = _attach(directory).endpoints.environment()
    if output is Format.JSON:
        emit(output, text="", data=variables)
        return
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def _attach(directory: Path) -> EmbeddedStack:
    try:
        return EmbeddedStack.attach(directory)
    except StackNotRunningError as error:
        explain(error)
        raise typer.Exit(ExitCode.UNAVAILABLE) from error


def _show(stack: EmbeddedStack, found: list[ComponentStatus], output: Format) -> None:
    """Write the components' states and addresses, without secrets."""
    addresses = _addresses(stack)
    records = Records(
        f"the stack in {stack.directory}",
        [Column("component"), Column("state"), Column("process"), Column("took"), Column("address", sentences=True)],
    )
    for one in found:
        records.add(
            one.name,
            Text(one.state, style="green" if one.state is State.READY else "bold red"),
            "-" if one.pid is None else str(one.pid),
            "-" if one.seconds is None else f"{one.seconds:.2f} s",
            addresses[one.name],
        )
        if one.detail:
            messages().print(f"{one.name}: {one.detail}", markup=False, highlight=False, soft_wrap=True)
    components = [{**one.model_dump(mode="json"), "address": addresses[one.name]} for one in found]
    emit(output, text=records, data={"directory": str(stack.directory), "components": components})


def _addresses(stack: EmbeddedStack) -> dict[ComponentName, str]:
    endpoints = stack.endpoints
    return {
        ComponentName.CLICKHOUSE: f"http://{endpoints.clickhouse.host}:{endpoints.clickhouse.port}",
        ComponentName.KAFKA: endpoints.kafka.bootstrap_servers,
        ComponentName.POSTGRES: f"{endpoints.postgres.host}:{endpoints.postgres.port}/{endpoints.postgres.database}",
        ComponentName.STORE: f"{endpoints.store.endpoint} (Iceberg REST catalog: {endpoints.rest_catalog.uri})",
    }
