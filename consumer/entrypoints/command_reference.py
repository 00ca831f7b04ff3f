"""The reference page of the commands, generated from the command line, and what the manual page shares with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from inspect import cleandoc
from typing import Any, cast

import typer.main

from consumer.entrypoints.cli.main import app
from consumer.entrypoints.cli.output import EXIT_CODE_MEANINGS


def render() -> str:
    """Return the page, without its title."""
    parts = [*_preamble()]
    parts += [text for path, command in commands() for text in _command(path, command)]
    return "\n".join(parts).rstrip() + "\n"


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with the words that call it, in the order of the command line's own help."""
    yield from _walk(("icehaul",), typer.main.get_command(app))


_STREAMS = """\
Results go to standard output, as text or with `--output json` as JSON; messages, progress and errors go to standard
error, an error with its remedy. `NO_COLOR` is obeyed. On a terminal that is too narrow for a table each row becomes a
block of lines; in a file or a pipe no line is broken (`COLUMNS` sets another width).

`icehaul --install-completion` teaches bash, zsh or fish, whichever runs it, to complete commands, options and the names
of the configured streams with the Tab key; `icehaul --show-completion` prints what it would install.

The wheel brings this as a manual page, too: `man -M ENVIRONMENT/share/man icehaul`, or `man icehaul` where the
environment's commands are on the path.
"""


def _preamble() -> Sequence[str]:
    codes = [f"| {code} | {meaning} |" for code, meaning in EXIT_CODE_MEANINGS.items()]
    return [
        _STREAMS,
        "| exit code | meaning |\n|---|---|",
        *codes,
        "",
    ]


def _walk(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401 - typer's classes are private
    inside = cast("dict[str, Any]", getattr(command, "commands", {}))
    if not inside:
        yield path, command
    for name, inner in inside.items():
        yield from _walk((*path, name), inner)


def _command(path: tuple[str, ...], command: Any) -> Iterator[str]:  # noqa: ANN401 - typer's classes are private
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    usage = [*path, *map(metavar, arguments), "[OPTIONS]"]
    yield f"## `{' '.join(path)}`\n"
    yield f"```\n{' '.join(usage)}\n```\n"
    yield cleandoc(command.help or "") + "\n"
    yield "| argument or option | default | meaning |\n|---|---|---|"
    for one in arguments:
        yield f"| `{one.name.upper()}` | {'**required**' if one.required else 'none'} | {one.help or ''} |"
    for one in options:
        names = ", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))
        yield f"| {names} | {option_default(one)} | {one.help or ''} |"
    yield ""


def metavar(argument: Any) -> str:  # noqa: ANN401 - typer's classes are private
    """Return an argument as a usage line shows it: in brackets where it may be left out."""
    name = argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def option_default(option: Any) -> str:  # noqa: ANN401 - typer's classes are private
    """Return what holds without an option, as code; ``none`` where that is nothing."""
    if isinstance(option.show_default, str):
        return f"`{option.show_default}`"
    value = option.default
    if value is None or value == ():
        return "none"
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"
