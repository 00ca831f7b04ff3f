"""`icehaul trace`: from a snapshot, a batch or an event back to where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from consumer.adapters.telemetry.trace_tree import read_trace, trace_of_event
from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, complete_stream
from consumer.entrypoints.cli.output import ExitCode, Format, emit
from consumer.entrypoints.cli.streams import find_stream
from consumer.entrypoints.cli.trace_view import Trace, TraceState, trace_data, trace_text
from consumer.service.origins import Origin
from consumer.settings.load import load
from consumer.settings.scalars import TRACE_ID


def trace(
    stream: Annotated[
        str | None,
        typer.Argument(help="Stream, where several have what is asked for.", autocompletion=complete_stream),
    ] = None,
    *,
    snapshot: Annotated[int | None, typer.Option(metavar="ID", help="Id of a snapshot of a target.")] = None,
    batch: Annotated[UUID | None, typer.Option(metavar="ID", help="Id of a batch.")] = None,
    event: Annotated[str | None, typer.Option(metavar="ID", help="Id of an event.")] = None,
    downstream: Annotated[
        bool, typer.Option("--downstream", help="Draw also what the batch set off in dependent streams.")
    ] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Draw also the statements of SQL.")] = False,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """Show which batch, event, Kafka offset and trace a snapshot, a batch or an event goes back to.

    The trace is drawn if telemetry.trace_file has it, and linked to if telemetry.trace_url is set. Exit code 1 if there
    is no trace to be found anywhere: it was not sampled, or the batch was done without one.
    """
    if [snapshot, batch, event].count(None) != len((snapshot, batch, event)) - 1:
        raise typer.BadParameter("give one of --snapshot, --batch and --event")
    with Application(load(config)) as application:
        if stream is not None:
            find_stream(application, stream)
        settings = application.configuration.telemetry
        paths = [] if settings.trace_file is None else [Path(settings.trace_file)]
        if snapshot is not None:
            found: Sequence[Origin] = [application.origins.of_snapshot(snapshot, stream)]
        elif batch is not None:
            found = [_of_batch(application, batch, stream)]
        else:
            found = application.origins.of_event(str(event), stream)
        trace_ids = list(dict.fromkeys(one.trace_id for one in found))
        if not found:
            trace_ids = [_trace_without_batch(str(event), paths)]
            found = application.origins.of_trace(str(trace_ids[0]), stream)
    sampled = {one.trace_id: one.sampled for one in found}
    traces = [_trace(one, paths, sampled=sampled.get(one), template=settings.trace_url) for one in trace_ids]
    emit(
        output,
        text=trace_text(found, traces, file=settings.trace_file, downstream=downstream, statements=sql),
        data=trace_data(found, traces),
    )
    if any(one.state in {TraceState.NONE, TraceState.NOT_SAMPLED} for one in traces):
        raise typer.Exit(ExitCode.FINDING)


def _of_batch(application: Application, batch: UUID, stream: str | None) -> Origin:
    origin = application.origins.of_batch(batch)
    if stream not in {None, origin.stream}:
        raise ConfigurationError(
            f"--batch {batch}: it is a batch of stream {origin.stream}, not of {stream}",
            remedy=f"name {origin.stream}, or no stream",
        )
    return origin


def _trace_without_batch(event: str, paths: Sequence[Path]) -> str:
    """Return the trace of an event on whose behalf no batch was attempted: only a trace file knows it."""
    known = trace_of_event(paths, event)
    if known is None:
        raise ConfigurationError(
            f"--event {event}: no batch was attempted on its behalf"
            + (f", and {paths[0]} has no span of it" if paths else ""),
            remedy="check the id; an event with nothing to do, or covered by another one, makes no batch, and is found"
            " only where telemetry.trace_file names the file that holds its trace",
        )
    return known


def _trace(trace_id: str | None, paths: Sequence[Path], *, sampled: bool | None, template: str | None) -> Trace:
    if trace_id is None:
        return Trace(trace_id=None, state=TraceState.NONE, url=None)
    spans = read_trace(paths, trace_id)
    if not spans and sampled is False:
        return Trace(trace_id=trace_id, state=TraceState.NOT_SAMPLED, url=None)
    return Trace(
        trace_id=trace_id,
        state=TraceState.FOUND if spans else TraceState.ELSEWHERE,
        url=None if template is None else template.replace(TRACE_ID, trace_id),
        spans=spans,
    )
