"""`icehaul verify`: compare both tiers, audit streams, or print the statement by which others compare them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError
from consumer.domain.stream import Stream
from consumer.domain.window import BEGINNING, END_OF_TIME, Window
from consumer.entrypoints.cli.arguments import parse_instant
from consumer.entrypoints.cli.audit import audit_streams
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, complete_stream
from consumer.entrypoints.cli.output import ExitCode, Format, Unbroken, emit
from consumer.entrypoints.cli.streams import find_stream
from consumer.entrypoints.cli.verify_progress import shown
from consumer.entrypoints.cli.verify_view import verify_data, verify_text
from consumer.service.verify import Verification
from consumer.service.verifying.comparing import THREADS, Reading
from consumer.settings.load import load


def verify(
    streams: Annotated[
        list[str] | None,
        typer.Argument(help="Streams to verify; all if none is named.", autocompletion=complete_stream),
    ] = None,
    *,
    lower: Annotated[
        str | None,
        typer.Option("--from", help="First instant: ISO 8601 (UTC without an offset).", metavar="TIME"),
    ] = None,
    upper: Annotated[
        str | None, typer.Option("--to", help="First instant after the range, likewise.", metavar="TIME")
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", min=0, max=10_000, help="How many of the rows that differ are listed.", metavar="N")
    ] = 0,
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, max=8, help="How many queries run at once.", metavar="N")
    ] = THREADS,
    sql: Annotated[
        bool,
        typer.Option("--sql", help="Print the ClickHouse statement that compares a stream's tiers without icehaul."),
    ] = False,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Make every check: tiers, windows, record, evidence, files, orphans, findings."),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="With --all, also write the audit as an HTML page to FILE."),
    ] = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Compare hot and cold tier by count and full-row digest; exit code 1 if they differ.

    With --from and --to a range is compared, with --rows the rows that differ are listed. Progress goes to standard
    error; Ctrl-C ends it once the queries under way have ended. With --sql nothing is compared: the statement that is
    printed does it in any ClickHouse client. With --all this is an audit: every check is made on every stream, none
    stops another, and exit code 1 says that one failed or could not be made. Nothing is changed or deleted.
    """
    _check(streams or [], lower, upper, rows=rows, sql=sql, everything=everything, report=report)
    within = _range(lower, upper)
    with Application(load(config)) as application:
        chosen = [find_stream(application, name) for name in streams or application.streams]
        if sql:
            statement = application.independent_check.statement(chosen[0], within)
            # To be run as it stands: no line of it may be broken.
            emit(output, text=Unbroken(statement), data={"stream": chosen[0].name, "sql": statement})
            return
        if everything:
            clean = audit_streams(application, chosen, page=report, output=output)
        else:
            found = [_verify(application, one, within, rows=rows, threads=parallel) for one in chosen]
            emit(output, text=verify_text(found), data=verify_data(found))
            clean = all(one.equal for one in found)
    if not clean:
        raise typer.Exit(ExitCode.FINDING)


def _verify(application: Application, stream: Stream, within: Window, *, rows: int, threads: int) -> Verification:
    with shown(stream.name) as tell:
        return application.verifier.verify(stream, within, Reading(threads=threads, rows=rows, progress=tell))


def _check(
    streams: list[str],
    lower: str | None,
    upper: str | None,
    *,
    rows: int,
    sql: bool,
    everything: bool,
    report: Path | None,
) -> None:
    """Make sure that the options say one thing.

    Raises:
        BadParameter, ConfigurationError: naming the option that does not go with the others.
    """
    if report is not None and not everything:
        raise typer.BadParameter("it needs --all", param_hint="--report")
    given = {"--from": lower is not None, "--to": upper is not None, "--rows": rows > 0, "--sql": sql}
    if everything and any(given.values()):
        option = next(name for name, there in given.items() if there)
        raise ConfigurationError(
            f"{option}: it does not go with --all, which audits whole streams", remedy=f"leave out --all or {option}"
        )
    if sql and rows:
        raise ConfigurationError("--rows: it does not go with --sql, which compares nothing", remedy="leave out one")
    if sql and len(streams) != 1:
        raise ConfigurationError("--sql: the statement is for one stream", remedy="name exactly one stream")


def _range(lower: str | None, upper: str | None) -> Window:
    """Return the range between two options; every instant where neither is given.

    Raises:
        ConfigurationError: if one is no instant, or the second is not after the first.
    """
    first = BEGINNING if lower is None else _bound("--from", lower)
    end = END_OF_TIME if upper is None else _bound("--to", upper)
    if end <= first:
        raise ConfigurationError(
            f"--to: {end.isoformat()} is not after --from, {first.isoformat()}",
            remedy="name the first instant after the range with --to",
        )
    return Window(lower=first, upper=end)


def _bound(option: str, text: str) -> datetime:
    instant = parse_instant(option, text)
    if instant is None:
        raise ConfigurationError(f"{option}: 'now' is no bound of what was read", remedy="name an instant")
    return instant
