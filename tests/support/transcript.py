"""What a printed run is apart from its figures, to compare one run with the text that shows another one."""

from __future__ import annotations

import re

_FIGURES = (
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b|\d[\d,.]*"), "#"),
    (re.compile(r"# ms\b"), "# s"),
    (re.compile(r"[│├└─]+"), " "),
    # Which of the processes, and which table's batch, is a matter of chance.
    (re.compile(r"icehaul-consumer|icehaul-emitter"), " "),
    (re.compile(r"bronze_\w+(?=$|:)"), "bronze"),
    (re.compile(r"messages?\b"), "messages"),
    (re.compile(r"\s+"), " "),
)
_TRACE = re.compile(r"^.*[├└]── (\S+)")


def shape(line: str) -> str:
    """The line without figures, ids, units of time and the lines of a tree."""
    for pattern, replacement in _FIGURES:
        line = pattern.sub(replacement, line.rstrip())
    return line.strip()


def shapes(text: str) -> set[str]:
    """The shapes of all lines that say something."""
    return {found for line in text.splitlines() if (found := shape(line))}


def kinds_of_spans(text: str) -> set[str]:
    """The first words of what hangs in a tree of spans."""
    return {found[1] for line in text.splitlines() if (found := _TRACE.match(line))}


def outside_of_trees(text: str) -> str:
    """The text without the lines that hang in a tree."""
    return "\n".join(line for line in text.splitlines() if not _TRACE.match(line))
