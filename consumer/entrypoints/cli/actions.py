"""`icehaul actions`: who did what, when, and why."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from consumer.bootstrap import Application
from consumer.domain.action import ActionEntry
from consumer.domain.phrasing import counted
from consumer.entrypoints.cli.options import ConfigOption, OutputOption, complete_stream
from consumer.entrypoints.cli.output import Format, emit, instant
from consumer.entrypoints.cli.records import Column, Records
from consumer.settings.load import load


def actions(
    stream: Annotated[
        str | None, typer.Argument(help="Actions that name this stream only.", autocompletion=complete_stream)
    ] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many of the latest entries to show.")] = 50,
    config: ConfigOption = None,
    output: OutputOption = Format.TEXT,
) -> None:
    """List what operators did by commands and by the console, oldest first: who, what, when and why.

    An action has an entry when it begins and one when it is over. One without the second broke off, or goes on.
    """
    with Application(load(config)) as application:
        found = application.action_log.latest(limit, stream)
    records = Records(
        counted(len(found), "entry", "entries"),
        [
            *(Column(one) for one in ("at", "phase", "command", "streams", "operator", "database user")),
            *(Column(one, sentences=True) for one in ("arguments", "reason", "error")),
        ],
        head=3,
    )
    for entry in found:
        records.add(*_fields(entry))
    emit(output, text=records, data=[_data(entry) for entry in found])


def _fields(entry: ActionEntry) -> list[str]:
    action = entry.action
    return [
        instant(entry.at.replace(microsecond=0)),
        entry.phase.value,
        action.command,
        ", ".join(action.streams),
        action.operator,
        entry.database_user,
        ", ".join(f"{name} {value}" for name, value in action.arguments.items()),
        action.reason,
        entry.detail,
    ]


def _data(entry: ActionEntry) -> dict[str, Any]:
    action = entry.action
    return {
        "action": str(action.action_id),
        "phase": entry.phase.value,
        "at": entry.at.isoformat(),
        "operator": action.operator,
        "database_user": entry.database_user,
        "command": action.command,
        "streams": list(action.streams),
        "arguments": dict(action.arguments),
        "reason": action.reason,
        "error": entry.detail,
    }
