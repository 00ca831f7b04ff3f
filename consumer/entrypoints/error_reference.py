"""The reference page of the errors, generated from their classes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from consumer.domain import errors
from consumer.domain.errors import IcehaulError, Reaction

_ADVICE = "What to do: "

_PREAMBLE = """
Every error that icehaul raises on purpose is of one of these classes. Its message names the field or thing and its
value, its remedy says what to do in that very case, and the command line prints the place on this page as a third line.
The reaction is what a running consumer does by itself, and answers in a word what comes next: retry, stop, operator
acts, or unknown.

| reaction | answer | what happens | exit code of a command |
|---|---|---|---|
"""

_ANSWERS = {
    Reaction.RETRY: "retry",
    Reaction.HALT: "operator acts",
    Reaction.DEAD_LETTER: "stop: this event",
    Reaction.ABANDON: "stop: this attempt",
    Reaction.RESTAGE: "retry",
    Reaction.READ_BACK: "unknown",
    Reaction.STOP: "stop: the process",
}

_MEANINGS = {
    Reaction.RETRY: "It is tried again, with backoff, up to the stream's `on_failure`.",
    Reaction.HALT: "The stream is halted and its events are kept until `icehaul resume STREAM`; others go on.",
    Reaction.DEAD_LETTER: "The message is moved to the dead-letter topic.",
    Reaction.ABANDON: "The work is dropped, and nothing acknowledged: somebody else owns it.",
    Reaction.RESTAGE: "The same batch is staged again on the table's new state.",
    Reaction.READ_BACK: "The ledger is read before anything else: nothing is repeated blindly.",
    Reaction.STOP: "The process ends with the message.",
}


def classes() -> Iterator[type[IcehaulError]]:
    """Yield every class of the taxonomy, the root first, in the order in which they are written."""
    for member in vars(errors).values():
        if isinstance(member, type) and issubclass(member, IcehaulError):
            yield member


def render(exit_codes: dict[Reaction, int]) -> str:
    """Return the page."""
    table = [f"| {one} | {_ANSWERS[one]} | {_MEANINGS[one]} | {exit_codes[one]} |" for one in Reaction]
    return _PREAMBLE.strip() + "\n" + "\n".join(table) + "\n" + "".join(_section(cls) for cls in classes())


def _section(cls: type[IcehaulError]) -> str:
    meaning, advice = documented(cls)
    parents = [base.__name__ for base in cls.__bases__ if issubclass(base, IcehaulError)]
    kind = f" A kind of [{parents[0]}](#{parents[0].lower()})." if parents and parents[0] != "IcehaulError" else ""
    todo = f"\n**What to do:** {advice}\n" if advice else ""
    return f"\n## {cls.__name__}\n\n{meaning}{kind}\n\n**Reaction:** {cls.reaction}\n{todo}"


def documented(cls: type[IcehaulError]) -> tuple[str, str]:
    """Return what a class means, and what to do about it (empty for the root)."""
    meaning, *further = inspect.cleandoc(cls.__doc__ or "").split("\n\n")
    advice = next((part for part in further if part.startswith(_ADVICE)), "")
    return " ".join(meaning.split()), " ".join(advice.removeprefix(_ADVICE).split())
