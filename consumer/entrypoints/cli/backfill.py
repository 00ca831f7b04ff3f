"""`icehaul backfill`: ask for a range of history below a stream's start, see how far it is, call it off."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError
from consumer.entrypoints.cli.arguments import parse_instant
from consumer.entrypoints.cli.backfill_view import (
    cancelled_data,
    cancelled_text,
    plan_data,
    plan_text,
    progress_data,
    progress_text,
)
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, complete_stream
from consumer.entrypoints.cli.output import Format, emit
from consumer.entrypoints.cli.streams import find_stream
from consumer.settings.load import load


def backfill(
    stream: Annotated[
        str | None,
        typer.Argument(
            help="Name of a configured stream; with --list all without one.", autocompletion=complete_stream
        ),
    ] = None,
    *,
    lower: Annotated[
        str | None,
        typer.Option("--from", help="First instant: ISO 8601 (UTC without an offset).", metavar="TIME"),
    ] = None,
    upper: Annotated[
        str | None, typer.Option("--to", help="First instant after the range, likewise.", metavar="TIME")
    ] = None,
    newest_first: Annotated[
        bool, typer.Option("--newest-first", help="Begin with the newest rows of the range, stretch by stretch.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and ask for nothing.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="Show every request, and how far it is.")] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Cancel the stream's open requests; what they have done stays.")
    ] = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Offload a range of history below the stream's start, beside its live windows.

    The request is recorded in the ledger, and the consumers do the work: one batch of history after each event of the
    stream, so that nothing live waits for more than one. The oldest rows come first; with --newest-first the range is
    recorded as several requests, the newest one first. What of the range is done already is left out. Exit code 2 if
    the range makes no sense, 3 if a server can't be used.
    """
    _check(stream, lower, upper, dry_run=dry_run or newest_first, listing=listing, cancel=cancel)
    with Application(load(config)) as application:
        requests = application.backfill_requests
        if listing:
            chosen = list(application.streams.values()) if stream is None else [find_stream(application, stream)]
            found = requests.progress(chosen)
            emit(output, text=progress_text(found), data=progress_data(found))
            return
        wanted = find_stream(application, stream or "")
        if cancel:
            with application.actions.acting("backfill", wanted.name, arguments={"cancel": True}):
                ended = requests.cancel(wanted)
            emit(output, text=cancelled_text(ended), data=cancelled_data(ended))
            return
        first, end = _bound("--from", lower), _bound("--to", upper)
        if dry_run:
            planned = requests.plan(wanted, first, end, backwards=newest_first)
        else:
            asked = {"from": first, "to": end, "newest_first": newest_first}
            with application.actions.acting("backfill", wanted.name, arguments=asked):
                planned = requests.request(wanted, first, end, backwards=newest_first)
    emit(output, text=plan_text(planned, dry=dry_run), data=plan_data(planned, dry=dry_run))


def _check(
    stream: str | None, lower: str | None, upper: str | None, *, dry_run: bool, listing: bool, cancel: bool
) -> None:
    """Make sure that the options say one thing.

    Raises:
        ConfigurationError: naming those that do not go together, or that are missing.
    """
    ranged = lower is not None or upper is not None or dry_run
    if listing + cancel + ranged != 1:
        raise ConfigurationError(
            "--from with --to, --list, --cancel: exactly one of these says what to do",
            remedy="name a range with --from TIME --to TIME; or see --list, or --cancel what was asked for",
        )
    if ranged and (lower is None or upper is None):
        raise ConfigurationError(
            f"{'--from' if lower is None else '--to'} is missing: a range has two ends",
            remedy="name the first instant with --from, and the first one after the range with --to",
        )
    if stream is None and not listing:
        raise ConfigurationError("STREAM is missing", remedy="name a configured stream; see: icehaul streams")


def _bound(option: str, text: str | None) -> datetime:
    instant = parse_instant(option, text or "")
    if instant is None:
        raise ConfigurationError(
            f"{option}: 'now' is no bound of history", remedy="name an instant at or below the start of the stream"
        )
    return instant
