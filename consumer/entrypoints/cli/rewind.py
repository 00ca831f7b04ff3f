"""`icehaul rewind`: set a stream's watermark back, and take out of the table what lies above it."""

from __future__ import annotations

from typing import Annotated

import typer

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError, RetriesExhaustedError
from consumer.domain.stream import Stream
from consumer.entrypoints.cli.arguments import parse_instant
from consumer.entrypoints.cli.lease_held import told_when_held
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, StreamArgument
from consumer.entrypoints.cli.output import ExitCode, Format, emit
from consumer.entrypoints.cli.rewind_view import rewind_data, rewind_text
from consumer.entrypoints.cli.streams import find_stream
from consumer.service.rewinding.examined import Examined, Verdict, Wish
from consumer.settings.load import load


def rewind(
    *,
    stream: StreamArgument,
    to: Annotated[
        str,
        typer.Option("--to", help="The watermark from then on: ISO 8601 (UTC without an offset).", metavar="TIME"),
    ],
    force: Annotated[
        bool,
        typer.Option("--force", help="Do it although the hot tier does not hold every row any more; with --reason."),
    ] = False,
    reason: Annotated[
        str | None,
        typer.Option("--reason", help="Why; it is recorded in the ledger and in the snapshot.", metavar="TEXT"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done, as without --yes.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it. Without this option it is only shown what would be done.")
    ] = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Set a stream back: rows at or above an instant leave the cold tier, and the next event writes them again.

    For days that were offloaded wrong, or corrected in the source since. It is refused unless the hot tier still holds
    what would go. One snapshot, the watermark and a new generation are published together; snapshots from before stay
    until they expire. Exit code 1 if it was refused, 3 if a server can't be used or a consumer works on the stream, 4
    if an operator has to act.
    """
    wish = _wish(to, reason, force=force)
    if dry_run and yes:
        raise ConfigurationError("--dry-run, --yes: one of them says what to do", remedy="leave one of them out")
    with Application(load(config)) as application:
        chosen = find_stream(application, stream)
        if not yes:
            found = application.rewind_review.review(chosen, wish)
        else:
            tracing = application.observe("rewind")
            acting = application.actions.acting(
                "rewind", chosen.name, reason=wish.reason, arguments={"to": wish.to, "force": force}
            )
            with tracing.tracer.start_as_current_span("offload.rewind"), acting:
                found = _rewind(application, chosen, wish)
    emit(output, text=rewind_text(chosen, found, dry=not yes), data=rewind_data(chosen, found, dry=not yes))
    if found.verdict is Verdict.REFUSED:
        raise typer.Exit(ExitCode.FINDING)


def _rewind(application: Application, stream: Stream, wish: Wish) -> Examined:
    try:
        with told_when_held():
            return application.rewinds.rewind(stream, wish)
    except RetriesExhaustedError as error:
        raise RetriesExhaustedError(error.message, remedy="mend the cause, and run the command again") from error


def _wish(to: str, reason: str | None, *, force: bool) -> Wish:
    instant = parse_instant("--to", to)
    if instant is None:
        raise ConfigurationError(
            "--to: 'now' is no instant to set a stream back to", remedy="name an instant below the watermark"
        )
    text = None if reason is None else reason.strip()
    if force != bool(text):
        raise ConfigurationError(
            "--force, --reason: who lets rows go that the hot tier does not hold says why",
            remedy='give both, as in --force --reason "the vendor withdrew that day", or neither',
        )
    return Wish(to=instant, reason=text or None)
