"""`icehaul emit --tick`: ticks by hand, and following them to their commits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from consumer.bootstrap import Application
from consumer.domain.event import Event
from consumer.domain.event_factory import tick
from consumer.domain.phrasing import counted
from consumer.domain.window import BEGINNING
from consumer.entrypoints.cli.arguments import parse_instant, parse_span
from consumer.entrypoints.cli.output import ExitCode, Format, emit, instant, json_line, results
from consumer.entrypoints.cli.status_view import batch_data
from consumer.entrypoints.cli.streams import find_stream
from consumer.service.follow import Followed, Outcome
from consumer.settings.model import Configuration


def send_ticks(
    when: str, names: Sequence[str], configuration: Configuration, output: Format, *, follow: str | None
) -> None:
    """Send a tick to each of the streams through the emitter's own sink, and follow them if a span is given.

    Raises:
        ConfigurationError: if an argument is wrong; nothing is sent.
        TransientError: if a server can't be asked now; what was sent already may be sent again.
        typer.Exit: with the code of a finding, if a stream is halted or late.
    """
    asked = parse_instant("--tick", when)
    within = parse_span("--follow", follow) if follow is not None else None
    with Application(configuration) as application:
        application.observe("emitter")
        chosen = list(dict.fromkeys(names or application.streams))
        for name in chosen:
            find_stream(application, name)
        if within is None:
            # The source server's clock is the only one that windows follow.
            boundary = application.source.now() if asked is None else asked
            events = _send(application, chosen, boundary)
            emit(output, text=_sent_text(events), data=_sent_data(boundary, events))
            return
        expectation = application.follower.expect(chosen, asked)
        events = _send(application, chosen, expectation.asked)
        _say(output, text=_sent_text(events), data=_sent_data(expectation.asked, events))
        outcomes = set()
        for one in application.follower.follow(expectation, within=within):
            outcomes.add(one.outcome)
            _say(output, text=_followed_text(one), data=_followed_data(one))
    if outcomes - {Outcome.COMMITTED}:
        raise typer.Exit(ExitCode.FINDING)


def _send(application: Application, names: Sequence[str], boundary: datetime) -> Sequence[Event]:
    events = [tick(stream=name, boundary=boundary) for name in names]
    application.event_sink.send(events)
    return events


def _say(output: Format, *, text: RenderableType, data: dict[str, Any]) -> None:
    """Write one of several results at once: whoever reads a pipe waits for it."""
    console = results()
    if output is Format.JSON:
        console.print(json_line(data), markup=False, highlight=False, soft_wrap=True)
    else:
        console.print(text, crop=False)
    console.file.flush()


def _sent_text(events: Sequence[Event]) -> str:
    return "\n".join(f"sent tick {event.id} to stream {event.stream}" for event in events) or "no stream configured"


def _sent_data(cutoff: datetime, events: Sequence[Event]) -> dict[str, Any]:
    return {"cutoff": cutoff, "events": [{"id": event.id, "stream": event.stream} for event in events]}


def _followed_text(one: Followed) -> RenderableType:
    rows = sum(batch.rows for batch in one.batches)
    done = "no new rows"
    if one.batches:
        snapshots = ", ".join(str(batch.snapshot_id) for batch in one.batches)
        done = (
            f"{counted(rows, 'row')} in {counted(len(one.batches), 'batch', 'batches')},"
            f" {'snapshot' if len(one.batches) == 1 else 'snapshots'} {snapshots}"
        )
    watermark = None if one.watermark == BEGINNING else one.watermark
    lines = [Text(f"{one.stream}: {done}; watermark {instant(watermark)}")]
    if one.reason is not None:
        lines += [Text(one.reason, style="red"), Text(f"  remedy: {one.remedy}")]
    return Group(*lines)


def _followed_data(one: Followed) -> dict[str, Any]:
    return {
        "stream": one.stream,
        "outcome": one.outcome,
        "due": one.due.instant,
        "due_reason": one.due.reason,
        "watermark": None if one.watermark == BEGINNING else one.watermark,
        "reason": one.reason,
        "remedy": one.remedy,
        "batches": [batch_data(batch) for batch in one.batches],
    }
