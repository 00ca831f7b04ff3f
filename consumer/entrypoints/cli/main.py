"""The command `icehaul`."""

from __future__ import annotations

import gc
import os

from consumer.entrypoints.allocator import ARROW_POOL

# What is imported stays: looking through it for garbage, again and again while it grows, takes a seventh of a start.
gc.disable()
# An environment that says otherwise has its reasons.
for name, value in ARROW_POOL.items():
    os.environ.setdefault(name, value)

import logging
import sys
from typing import Annotated

import typer

from consumer import __version__
from consumer.domain.errors import IcehaulError, Reaction
from consumer.entrypoints.cli import (
    actions,
    adopt,
    backfill,
    clickhouse_events,
    config,
    cut,
    dlq,
    doctor,
    drop_hot,
    emit,
    failpoints,
    init,
    inspect,
    maintain,
    migrate,
    offload,
    recover,
    repair,
    replace,
    replay,
    restore,
    rewind,
    run,
    spark,
    stack,
    state,
    stream,
    topics,
    trace,
    verify,
    view,
)
from consumer.entrypoints.cli.output import ExitCode, explain
from consumer.entrypoints.last_words import secrets_kept_at_the_end

gc.freeze()
gc.enable()

EXIT_CODES = {
    Reaction.STOP: ExitCode.USAGE,
    Reaction.RETRY: ExitCode.UNAVAILABLE,
    Reaction.READ_BACK: ExitCode.UNAVAILABLE,
    Reaction.RESTAGE: ExitCode.UNAVAILABLE,
    Reaction.ABANDON: ExitCode.REFUSED,
    Reaction.HALT: ExitCode.REFUSED,
    Reaction.DEAD_LETTER: ExitCode.USAGE,
}

app = typer.Typer(
    name="icehaul",
    help="Move data from ClickHouse into Apache Iceberg: event-driven, exactly once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(stack.app, name="stack")
app.add_typer(config.app, name="config")
app.add_typer(spark.app, name="spark")
app.add_typer(stream.app, name="stream")
app.add_typer(dlq.app, name="dlq")
app.command("init")(init.init)
app.command("doctor")(doctor.doctor)
app.command("migrate")(migrate.migrate)
app.command("topics")(topics.topics)
app.command("emit")(emit.emit)
app.command("clickhouse-events")(clickhouse_events.clickhouse_events)
app.command("offload")(offload.offload)
app.command("run")(run.run)
app.command("streams")(config.streams)
app.command("status")(inspect.status)
app.command("plan")(inspect.plan)
app.command("verify")(verify.verify)
app.command("trace")(trace.trace)
app.command("adopt")(adopt.adopt)
app.command("backfill")(backfill.backfill)
app.command("drop-hot")(drop_hot.drop_hot)
app.command("cut")(cut.cut)
app.command("view")(view.view)
app.command("maintain")(maintain.maintain)
app.command("replace")(replace.replace)
app.command("replay")(replay.replay)
app.command("restore")(restore.restore)
app.command("recover")(recover.recover)
app.command("repair")(repair.repair)
app.command("pause")(state.pause)
app.command("resume")(state.resume)
app.command("rewind")(rewind.rewind)
app.command("actions")(actions.actions)
app.command("failpoints")(failpoints.failpoints)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"icehaul {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Move data from ClickHouse into Apache Iceberg: event-driven, exactly once."""


def main() -> None:
    """Run the command line; errors go to standard error with their remedy, and set the exit code."""
    # What is wrong is explained once, and by us; what libraries log besides is for commands that set up logs.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        with secrets_kept_at_the_end():
            app(prog_name="icehaul")  # exits by itself: 0, the command's code, 2 for wrong usage, 130 for Ctrl-C
    except IcehaulError as error:
        explain(error)
        sys.exit(EXIT_CODES[error.reaction])


if __name__ == "__main__":
    main()
