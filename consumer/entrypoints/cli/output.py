"""Results on standard output (text or JSON), messages on standard error."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from rich.console import Console, RenderableType

from consumer.domain.errors import IcehaulError
from consumer.domain.phrasing import instant_text
from consumer.domain.window import BEGINNING, Window

_UNBROKEN = 100_000

Json = Mapping[str, Any] | Sequence[Any]


class Format(StrEnum):
    """Form of a command's result."""

    TEXT = "text"
    JSON = "json"


class ExitCode:
    """Exit codes of every command, as ``docs/reference/cli.md`` lists them."""

    OK = 0
    FINDING = 1
    """The command worked, and found something wrong (tiers differ, a stream is halted)."""
    USAGE = 2
    """Wrong arguments or configuration."""
    UNAVAILABLE = 3
    """A server can't be used right now; the same command may work later."""
    REFUSED = 4
    """An operator has to act before this can work."""
    INTERRUPTED = 130
    """Ended by Ctrl-C."""


EXIT_CODE_MEANINGS = {
    ExitCode.OK: "The command did what it was asked for.",
    ExitCode.FINDING: "It worked, and found something wrong: tiers differ, a stream is halted, a topic is missing.",
    ExitCode.USAGE: "Wrong arguments or configuration; a ledger that was not migrated.",
    ExitCode.UNAVAILABLE: "A server can't be used right now; the same command may work later.",
    ExitCode.REFUSED: "An operator has to act first: credentials, grants, or tables that don't fit.",
    ExitCode.INTERRUPTED: "Ended by Ctrl-C.",
}
"""Exit codes as the reference page lists them."""


@dataclass(frozen=True, slots=True)
class Unbroken:
    """Text that is written as it stands, however narrow the terminal is."""

    text: str


def results() -> Console:
    """Return the console of standard output."""
    return _console(Console())


def messages() -> Console:
    """Return the console of standard error."""
    return _console(Console(stderr=True))


def _console(console: Console) -> Console:
    """Return a console that breaks no line in a file or a pipe, where nobody's eyes end at 80 columns."""
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _UNBROKEN
    return console


def emit(output: Format, *, text: RenderableType | Unbroken, data: Json) -> None:
    """Write a command's result in the form that was asked for."""
    if output is Format.JSON:
        text = Unbroken(json.dumps(data, default=_plain, indent=2))
    if isinstance(text, Unbroken):
        results().print(text.text, markup=False, highlight=False, soft_wrap=True)
    else:
        results().print(text, crop=False)


def json_line(data: Json) -> str:
    """Return a result as one line of JSON."""
    return json.dumps(data, default=_plain)


def explain(error: IcehaulError) -> None:
    """Write an error, its remedy and where to read more to standard error."""
    console = messages()
    console.print("error:", style="bold red", end=" ")
    console.print(error.message, markup=False, highlight=False, soft_wrap=True)
    console.print("remedy:", style="bold green", end=" ")
    console.print(error.remedy, markup=False, highlight=False, soft_wrap=True)
    console.print(f"more: {error.anchor}", style="dim", markup=False, highlight=False, soft_wrap=True)


def human(span: timedelta | None) -> str:
    """Write a span of time for people, in its two largest units; a dash for none."""
    if span is None:
        return "-"
    seconds = int(span.total_seconds())
    sign = "-" if seconds < 0 else ""
    seconds = abs(seconds)
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    return sign + " ".join(f"{count}{unit}" for count, unit in parts[:2])


def instant(value: datetime | None) -> str:
    """Write an instant for people, in UTC, without needless digits; a dash for none."""
    return "-" if value is None else instant_text(value)


def span(window: Window) -> str:
    """Write a window for people: from when to when, in UTC."""
    lower = "beginning" if window.lower == BEGINNING else instant_text(window.lower)
    return f"{lower} → {instant_text(window.upper)}"


def size(count: float) -> str:
    """Write a number of bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever stands in a result
    match value:
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case UUID():
            return str(value)
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")
