"""Questions on a terminal; they are written to standard error, so that standard output is the result alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import typer

from consumer.domain.duration import format_duration, parse_duration
from consumer.domain.stream import TableName


class TerminalAsk:
    """Implements :class:`consumer.service.starter.interview.Ask`; a wrong answer is asked for again."""

    def choose(self, question: str, options: Sequence[str], default: str) -> str:
        """Return one of the options."""

        def one_of(text: str) -> str:
            if text not in options:
                raise typer.BadParameter(f"{text!r} is not one of: {', '.join(options)}")
            return text

        shown = f"{question} ({', '.join(options)})"
        answer: str = typer.prompt(shown, value_proc=one_of, default=default, err=True)
        return answer

    def duration(self, question: str, default: timedelta) -> timedelta:
        """Return a span of time."""
        answer: timedelta = typer.prompt(question, value_proc=_duration, default=format_duration(default), err=True)
        return answer

    def table(self, question: str, default: str) -> str:
        """Return a name of the form ``namespace.table``."""
        answer: str = typer.prompt(question, value_proc=_table, default=default, err=True)
        return answer


def _duration(text: str) -> timedelta:
    try:
        found: timedelta = parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return found


def _table(text: str) -> str:
    try:
        return str(TableName.parse(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
