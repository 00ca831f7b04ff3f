"""Showing a result again and again: in place on a terminal, one after the other elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from consumer.domain.errors import TransientError
from consumer.entrypoints.cli.output import Json, json_line, results

Snapshot = tuple[RenderableType, Json]


def watch(look: Callable[[], Snapshot], *, interval: float, as_json: bool) -> None:
    """Show what ``look`` returns, every ``interval`` seconds, until SIGINT; a passing error is shown, and watched on.

    As JSON, each snapshot is one line.
    """
    pause = threading.Event()
    console = results()
    try:
        if as_json or not console.is_terminal:
            while True:
                text, data = _safely(look)
                if as_json:
                    console.print(json_line(data), markup=False, highlight=False, soft_wrap=True)
                else:
                    console.print(text)
                console.file.flush()
                pause.wait(interval)
        with Live(console=console, auto_refresh=False, screen=True, vertical_overflow="crop") as live:
            while True:
                text, _ = _safely(look)
                live.update(Group(text, Text(f"\nevery {interval:g} s; Ctrl-C ends", style="dim")), refresh=True)
                pause.wait(interval)
    except KeyboardInterrupt:
        # The only way to end a watch is no failure.
        return


def _safely(look: Callable[[], Snapshot]) -> Snapshot:
    try:
        return look()
    except TransientError as error:
        text = Text(f"error: {error.message}\nremedy: {error.remedy}", style="red")
        return text, {"error": error.message, "remedy": error.remedy}
