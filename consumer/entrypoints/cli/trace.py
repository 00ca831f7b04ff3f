"""`icehaul trace`: from a snapshot, a batch or an event back to where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from opentelemetry.semconv._incubating.attributes.messaging_attributes import MESSAGING_MESSAGE_ID
from rich.console import Group

from consumer.adapters.telemetry.trace_tree import handling_of_event, read_trace
from consumer.bootstrap import Application
from consumer.domain.errors import ConfigurationError
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, complete_stream
from consumer.entrypoints.cli.output import ExitCode, Format, emit
from consumer.entrypoints.cli.streams import find_stream
from consumer.entrypoints.cli.trace_view import Trace, TraceState, trace_data, trace_text
from consumer.service.origins import Origin
from consumer.settings.load import load
from consumer.settings.scalars import TRACE_ID


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """Batches, and the trace in which an event was handled where that made none; ``covered_by`` another event."""

    origins: Sequence[Origin]
    handled_in: str | None = None
    covered_by: str | None = None

    @property
    def trace_ids(self) -> Sequence[str | None]:
        """The traces of the batches, or of the handling, each once."""
        own = [self.handled_in] if self.handled_in else [one.trace_id for one in self.origins]
        return list(dict.fromkeys(own))


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
            found = _Found(origins=[application.origins.of_snapshot(snapshot, stream)])
        elif batch is not None:
            found = _Found(origins=[_of_batch(application, batch, stream)])
        else:
            found = _of_event(application, str(event), stream, paths)
    sampled = {one.trace_id: one.sampled for one in found.origins}
    traces = [_trace(one, paths, sampled=sampled.get(one), template=settings.trace_url) for one in found.trace_ids]
    emit(
        output,
        text=Group(
            *([] if found.covered_by is None else [f"event {event} was covered by event {found.covered_by}"]),
            trace_text(found.origins, traces, file=settings.trace_file, downstream=downstream, statements=sql),
        ),
        data={"covered_by": found.covered_by, **trace_data(found.origins, traces)},
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


def _of_event(application: Application, event: str, stream: str | None, paths: Sequence[Path]) -> _Found:
    found = application.origins.of_event(event, stream)
    if found:
        return _Found(origins=found)
    # No batch was attempted on its behalf: only a trace file knows how it was handled.
    handling = handling_of_event(paths, event)
    if handling is None:
        raise ConfigurationError(
            f"--event {event}: no batch was attempted on its behalf"
            + (f", and {paths[0]} has no span of it" if paths else ""),
            remedy="check the id; an event with nothing to do, or covered by another one, makes no batch, and is found"
            " only where telemetry.trace_file names the file that holds its trace",
        )
    head = str(handling.attributes.get(MESSAGING_MESSAGE_ID, event))
    return _Found(
        origins=application.origins.of_event(head, stream),
        handled_in=handling.trace_id,
        covered_by=None if head == event else head,
    )


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
