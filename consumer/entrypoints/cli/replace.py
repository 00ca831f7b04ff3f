"""`icehaul replace`: bring windows of the cold tier up to what the hot tier holds of them now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError, RetriesExhaustedError
from consumer.domain.stream import Stream
from consumer.domain.window import Window
from consumer.entrypoints.cli.arguments import parse_instant
from consumer.entrypoints.cli.lease_held import told_when_held
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, StreamArgument
from consumer.entrypoints.cli.output import ExitCode, Format, emit
from consumer.entrypoints.cli.replace_view import replace_data, replace_text
from consumer.entrypoints.cli.streams import find_stream
from consumer.service.replacing.review import Choice, Examined, Verdict
from consumer.settings.load import load


def replace(
    *,
    stream: StreamArgument,
    findings: Annotated[
        bool,
        typer.Option("--findings", help="Every window that `icehaul status` reports changed, deleted or late rows of."),
    ] = False,
    lower: Annotated[
        str | None,
        typer.Option("--from", help="Windows from this instant on: ISO 8601 (UTC without an offset).", metavar="TIME"),
    ] = None,
    upper: Annotated[
        str | None, typer.Option("--to", help="Windows before this instant (exclusive).", metavar="TIME")
    ] = None,
    remove_rows: Annotated[
        bool,
        typer.Option("--remove-rows", help="Rows that the hot tier does not hold any more go from the cold tier, too."),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it. Without this option it is only shown what would be done.")
    ] = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Replace the cold tier's rows of whole windows by those that the hot tier holds now.

    For rows that were changed or deleted in the source after they had been offloaded, which icehaul reports and leaves
    as they are. Each window is one snapshot; what reads an earlier one still sees the former rows. Exit code 1 if a
    window was refused, 3 if a server can't be used or a consumer works on the stream, 4 if an operator has to act.
    """
    choice = _choice(findings=findings, lower=lower, upper=upper, remove_rows=remove_rows)
    with Application(load(config)) as application:
        chosen = find_stream(application, stream)
        if not yes:
            windows: Sequence[Examined] = application.replacement_review.review(chosen, choice)
        else:
            tracing = application.observe("replace")
            asked = {"findings": findings, "lower": lower, "upper": upper, "remove_rows": remove_rows}
            acting = application.actions.acting("replace", chosen.name, arguments=asked)
            with tracing.tracer.start_as_current_span("offload.replace"), acting:
                windows = _replace(application, chosen, choice)
    emit(output, text=replace_text(chosen, windows, dry=not yes), data=replace_data(chosen, windows, dry=not yes))
    if any(one.verdict is Verdict.REFUSED for one in windows):
        raise typer.Exit(ExitCode.FINDING)


def _replace(application: Application, stream: Stream, choice: Choice) -> Sequence[Examined]:
    try:
        with told_when_held():
            return application.replacements.replace(stream, choice)
    except RetriesExhaustedError as error:
        raise RetriesExhaustedError(error.message, remedy="mend the cause, and run the command again") from error


def _choice(*, findings: bool, lower: str | None, upper: str | None, remove_rows: bool) -> Choice:
    if findings == (lower is not None) or (lower is None) != (upper is None):
        raise ConfigurationError(
            "--findings, --from, --to: either --findings, or both --from and --to say what to replace",
            remedy="give --findings for what `icehaul status` reports, or a stretch of time with --from TIME --to TIME",
        )
    if lower is None or upper is None:
        return Choice(within=None, remove_rows=remove_rows)
    first, last = parse_instant("--from", lower), parse_instant("--to", upper)
    if first is None or last is None or first >= last:
        raise ConfigurationError(
            f"--from {lower} --to {upper}: that is no stretch of time",
            remedy="give two instants, the earlier first",
        )
    return Choice(within=Window(lower=first, upper=last), remove_rows=remove_rows)
