"""`icehaul dlq`: the dead-letter topic, and the way back from it."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.bootstrap import Application
from consumer.domain.dead_letter import Verdict, parse_place
from consumer.domain.errors import ConfigurationError
from consumer.domain.invalid_reason import InvalidReason
from consumer.entrypoints.cli.dlq_view import (
    judged_data,
    judged_text,
    letter_data,
    letter_text,
    letters_data,
    letters_text,
)
from consumer.entrypoints.cli.options import ConfigOption, OutputOption
from consumer.entrypoints.cli.output import ExitCode, Format, emit
from consumer.settings.load import load

app = typer.Typer(help="Look at dead letters, and send those again that have become events.", no_args_is_help=True)

ReasonOption = Annotated[InvalidReason | None, typer.Option(help="Letters of this reason only.", case_sensitive=False)]
LettersArgument = Annotated[
    list[str] | None, typer.Argument(help="Places of letters, as `list` shows them.", metavar="PARTITION@OFFSET…")
]


@app.command("list")
def list_(
    *,
    reason: ReasonOption = None,
    all_: Annotated[bool, typer.Option("--all", help="Those that were sent again, too.")] = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """List what the dead-letter topic still has and nobody has sent again: place, time, origin, reason."""
    with Application(load(config)) as application:
        found = application.letters.list(reason=reason, redriven=all_)
    emit(
        output,
        text=letters_text(found, topic=application.configuration.kafka.dead_letter_topic),
        data=letters_data(found),
    )


@app.command()
def show(
    letter: Annotated[str, typer.Argument(help="Place of the letter, as `list` shows it.", metavar="PARTITION@OFFSET")],
    *,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Show one letter: what was wrong, and the message's key, headers and value as they came."""
    place = parse_place(letter)
    with Application(load(config)) as application:
        (found,) = application.letters.judge(application.letters.find([place]))
    emit(output, text=letter_text(found), data=letter_data(found))


@app.command()
def redrive(
    letters: LettersArgument = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="All letters that were not sent again yet.")] = False,
    reason: ReasonOption = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it. Without this option it is only shown what would be done.")
    ] = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Send letters to the event topic again, as they came, once they are events: a stream was configured since, say.

    What still is none is left where it is. An event that is sent twice is done once, so the command may be repeated.
    Exit code 1 if some letter could not be sent.
    """
    if sum((bool(letters), all_, reason is not None)) != 1:
        raise ConfigurationError(
            "LETTERS, --all, --reason: exactly one of them says what to send",
            remedy="name letters as `icehaul dlq list` shows them (3@17), or give --all, or --reason REASON",
        )
    places = [parse_place(letter) for letter in letters or ()]
    with Application(load(config)) as application:
        if yes:
            application.observe("dlq")
        office = application.letters
        chosen = office.find(places) if places else office.list(reason=reason)
        if yes:
            told = {"letters": ", ".join(letters or ()) or None, "all": all_, "reason": reason}
            with application.actions.acting("dlq redrive", arguments=told):
                judged = office.redrive(chosen)
        else:
            judged = office.judge(chosen)
    emit(output, text=judged_text(judged, dry=not yes), data=judged_data(judged, dry=not yes))
    if any(one.verdict is Verdict.INVALID for one in judged):
        raise typer.Exit(ExitCode.FINDING)
