"""icehaul's command line, asked whether it understands some words, without running anything."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from consumer.entrypoints.cli.main import app

_ICEHAUL = typer.main.get_command(app)


def understand(words: Sequence[str]) -> None:
    """Parse the words of a command, its name ``icehaul`` included.

    Raises:
        click.UsageError: if there is no such command, argument or option.
    """
    context = _ICEHAUL.make_context("icehaul", list(words[1:]), resilient_parsing=False)
    with context:
        name, found, rest = _ICEHAUL.resolve_command(context, [*context._protected_args, *context.args])  # type: ignore[attr-defined]
        while hasattr(found, "resolve_command"):
            inner = found.make_context(name, rest)
            name, found, rest = found.resolve_command(inner, [*inner._protected_args, *inner.args])
        found.make_context(name, rest)
