"""`icehaul replay`: go through a stretch of time again."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError, RetriesExhaustedError
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.entrypoints.cli.arguments import parse_instant
from consumer.entrypoints.cli.lease_held import told_when_held
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, complete_stream
from consumer.entrypoints.cli.output import ExitCode, Format, emit
from consumer.entrypoints.cli.replay_view import replay_data, replay_text
from consumer.entrypoints.cli.streams import find_stream
from consumer.service.replay.replays import Replay
from consumer.settings.load import load


def replay(
    *,
    stream: Annotated[
        list[str],
        typer.Option(
            "--stream",
            help="Name of a configured stream; repeatable.",
            metavar="STREAM",
            autocompletion=complete_stream,
        ),
    ],
    lower: Annotated[
        str,
        typer.Option("--from", help="Windows from this instant on: ISO 8601 (UTC without an offset).", metavar="TIME"),
    ],
    upper: Annotated[str, typer.Option("--to", help="Windows before this instant: now, or ISO 8601.", metavar="TIME")],
    heal: Annotated[
        bool,
        typer.Option(
            "--heal", help="Repair what diverges, as on_divergence: heal does, instead of halting the stream."
        ),
    ] = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Go through a stretch of time again, as if its events came once more; what is in the table adds no row.

    The table's rows are counted against the ledger window by window; what the table lacks is written, rows that have
    arrived since are added, and what can't be is told. Exit code 1 if both tiers differ after it, 3 if a server can't
    be used or a consumer works on a stream, 4 if the table does not hold what the ledger has recorded: the stream is
    halted, and the message names the command that repairs it.
    """
    with Application(load(config)) as application:
        chosen = [find_stream(application, name) for name in stream]
        within = _within(lower, upper, application)
        tracing = application.observe("replay")
        acting = application.actions.acting("replay", *stream, arguments={"lower": lower, "upper": upper, "heal": heal})
        with tracing.tracer.start_as_current_span("offload.replay"), acting:
            replayed = [_replay(application, one, within, heal=heal) for one in chosen]
    emit(output, text=replay_text(replayed), data=replay_data(replayed))
    if any(one.missing or one.surplus for each in replayed for one in each.windows):
        raise typer.Exit(ExitCode.FINDING)


def _replay(application: Application, stream: Stream, within: Window, *, heal: bool) -> Replay:
    try:
        with told_when_held():
            return application.replays.replay(stream, within, threading.Event(), heal=heal)
    except RetriesExhaustedError as error:
        raise RetriesExhaustedError(error.message, remedy="mend the cause, and run the command again") from error


def _within(lower: str, upper: str, application: Application) -> Window:
    first, last = parse_instant("--from", lower), parse_instant("--to", upper)
    last = application.source.now() if last is None else last
    if first is None or first >= last:
        raise ConfigurationError(
            f"--from {lower} --to {upper}: that is no stretch of time",
            remedy="give two instants, the earlier first",
        )
    return Window(lower=first, upper=last)
